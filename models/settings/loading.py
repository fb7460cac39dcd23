"""How settings are loaded: every problem is reported at once, by name and without values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings


class ConfigurationError(Exception):
    """The settings are missing, weak or contradictory; the text names each of them and shows no value."""


_UNUSABLE = "The configuration cannot be used:"

_AnySettings = TypeVar("_AnySettings", bound=BaseSettings)


def load(settings_cls: type[_AnySettings], known: Mapping[str, str]) -> _AnySettings:
    """Read settings from their sources; ``known`` are problems of single settings that were found before.

    Raises:
        ConfigurationError: there are problems.
    """
    problems = [f"{name}: {text}" for name, text in known.items()]
    try:
        settings = settings_cls()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            name = "_".join(str(part) for part in problem["loc"] if not isinstance(part, int)).upper()
            text = problem["msg"].removeprefix("Value error, ")
            if name not in known:
                # The problem of a group begins with the name of one of its settings.
                problems.append(f"{name}: {text}" if name and not text.startswith(f"{name}_") else text)
    if problems:
        raise ConfigurationError("\n  ".join((_UNUSABLE, *problems)))
    return settings


def check_settings(*loads: Callable[[], object]) -> None:
    """Load several kinds of settings, and raise the problems of all of them together.

    Raises:
        ConfigurationError: there are problems.
    """
    problems: list[str] = []
    for load in loads:
        try:
            load()
        except ConfigurationError as error:
            lines = [line.strip() for line in str(error).splitlines()[1:]]
            problems += [line for line in lines if line not in problems]
    if problems:
        raise ConfigurationError("\n  ".join((_UNUSABLE, *problems)))
