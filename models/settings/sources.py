"""Where settings are read from: the environment, ``.env``, and the files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from models.settings.base import Group


def is_group(field: FieldInfo) -> bool:
    """Return whether a field is a group of settings."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, Group)


class _GroupsByField:
    """Reads a group by the names of its fields alone: a bare ``MAIL`` in the environment belongs to the shell."""

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:  # noqa: FBT001 - the library's signature
        value = None if is_group(field) else value
        return super().prepare_field_value(field_name, field, value, value_is_complex)  # type: ignore[misc] # a mix-in

    def explode_env_vars(self, field_name: str, field: FieldInfo, env_vars: Mapping[str, str | None]) -> dict[str, Any]:
        """Find no members of a list: the library would read ``SECRET_KEYS_FILE`` as its member ``file``."""
        if not is_group(field):
            return {}
        return super().explode_env_vars(field_name, field, env_vars)  # type: ignore[misc,no-any-return] # a mix-in


class Environment(_GroupsByField, EnvSettingsSource):
    """Reads environment variables."""


class DotEnv(_GroupsByField, DotEnvSettingsSource):
    """Reads the file ``.env``."""


class SecretFiles(_GroupsByField, EnvSettingsSource):
    """Reads a setting from the file that ``NAME_FILE`` names, as with Docker's secrets; ``problems`` holds failures."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        self.problems: dict[str, str] = {}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = given_variables(self.settings_cls)
        read: dict[str, str | None] = {}
        for name in setting_fields(self.settings_cls):
            path = given.get(f"{name}_file")
            if not path:
                continue
            if given.get(name):
                self.problems[name.upper()] = f"is set, and so is {name.upper()}_FILE; unset one of them"
                continue
            try:
                read[name] = Path(path).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                self.problems[name.upper()] = f"the file that {name.upper()}_FILE names cannot be read: {reason}"
        return read


def given_variables(settings_cls: type[BaseSettings]) -> dict[str, str | None]:
    """Return every variable of the environment and of ``.env``, with its name in small letters."""
    return {**DotEnv(settings_cls).env_vars, **Environment(settings_cls).env_vars}


def setting_fields(settings_cls: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Return the settings by their names in the environment, in small letters."""
    fields: dict[str, FieldInfo] = {}
    for name, field in settings_cls.model_fields.items():
        group = field.annotation
        if is_group(field) and group is not None:
            fields |= {f"{name}_{inner.alias or key}": inner for key, inner in group.model_fields.items()}
        else:
            fields[name] = field
    return fields
