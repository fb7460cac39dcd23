"""What can be sent to Valkey: plain commands, and Lua scripts from the folder ``scripts``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Generic, TypeVar

_Result = TypeVar("_Result")

Argument = str | int | bytes

_SCRIPTS = files("redis_tools").joinpath("scripts")


@dataclass(frozen=True, slots=True)
class Command(Generic[_Result]):
    """A command that is not sent yet, and how to read its answer."""

    arguments: tuple[Argument, ...]
    read: Callable[[Any], _Result]
    script: Script | None = None

    def packed(self) -> tuple[Argument, ...]:
        """Return the words to send; a script is named by its hash, which Valkey may not know."""
        return ("EVALSHA", self.script.sha, *self.arguments) if self.script else self.arguments

    def packed_in_full(self) -> tuple[Argument, ...]:
        """Return the words to send when Valkey does not know the script."""
        if self.script is None:
            raise TypeError("only a script can be unknown")
        return ("EVAL", self.script.source, *self.arguments)


class Script:
    """A Lua script: it runs as a whole, so that no other request slips in between."""

    def __init__(self, source: str) -> None:
        self.source = source
        # The name under which Valkey caches a script; no secret depends on it.
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()

    def command(
        self, keys: Sequence[str], arguments: Sequence[Argument], read: Callable[[Any], _Result]
    ) -> Command[_Result]:
        """Return the command that runs the script. Its keys are in one hash slot, so that a cluster can run it."""
        return Command((len(keys), *keys, *arguments), read, self)


def load_script(name: str) -> Script:
    """Return ``scripts/{name}.lua``. Its line ``-- include: clock.lua`` is replaced by the text of that file."""
    return Script(_source(f"{name}.lua"))


def _source(file: str) -> str:
    text = _SCRIPTS.joinpath(file).read_text(encoding="utf-8")
    return re.sub(r"^-- include: (\S+)$", lambda found: _source(found[1]), text, flags=re.MULTILINE)


def ignore(_: Any) -> None:
    """Ignore the answer."""
