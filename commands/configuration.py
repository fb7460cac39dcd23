"""Every setting as a page of Markdown, from the settings themselves."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config import EdgeSettings, Settings

_HEAD = """\
# Settings

From the environment or a `.env` file. Durations are in seconds; a rate is `count/seconds`, several of them are
separated by commas. What is missing, weak or contradictory is told by name, all of it at once and without any value,
and the service does not start; `python main.py check-config` tells it without starting.

Each setting may stand in a file instead, which `NAME_FILE` names, as Docker's secrets do:
`SECRET_KEYS_FILE=/run/secrets/secret_keys`.

This page is made from [config.py](../config.py) and [models/settings/groups.py](../models/settings.py) by
`python main.py check-config --page`.
"""


def page() -> str:
    """The page; a heading and a table for each group."""
    alone = {name: field for name, field in Settings.model_fields.items() if not _is_group(field)}
    parts = [_HEAD, "## The service\n", _table("", alone)]
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            parts += [f"## {name.capitalize()}\n", f"{group.__doc__}\n", _table(name, group.model_fields)]
    edge = {name: field for name, field in EdgeSettings.model_fields.items() if name not in alone}
    parts += ["## Nginx\n", "Read by `init`, which writes nginx's part of them.\n", _table("", edge)]
    return "\n".join(parts)


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _table(group: str, fields: dict[str, FieldInfo]) -> str:
    return "\n".join(("| name | default | |", "| --- | --- | --- |", *_rows(group, fields), ""))


def _rows(group: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        variable = "_".join(part for part in (group, field.alias or name) if part).upper()
        default = "**none: it has to be set**" if field.is_required() else f"`{_written(field.default)}`"
        yield f"| `{variable}` | {default if default != '``' else ''} | {field.description} |"


def _written(value: object) -> str:
    """A value as it is written in the environment."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple() | dict():
            return ",".join(_written(one) for one in value)
        case _:
            return str(value)
