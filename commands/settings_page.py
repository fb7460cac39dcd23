"""Render docs/settings.md from the settings themselves, so that the page cannot differ from the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic.fields import FieldInfo

from config import Settings
from models.settings.nginx import EdgeSettings
from models.settings.sources import setting_fields

_HEAD = """\
# Settings

The service reads its settings from environment variables, or from a file `.env` in its working directory. Durations
are in seconds. A rate is `count/seconds`; several rates are separated by commas. A ladder is `at once/refill a year`,
in wrong guesses of one account.

When settings are missing, weak or contradictory, the service does not start. It lists every problem by name and shows
no value. `python main.py check-config` does the same check without starting anything. A setting that was renamed stops
the start, and the message names the new one. A misspelled setting causes a warning, which names the nearest setting.

Each setting can also be read from a file, such as a Docker secret: `SECRET_KEYS_FILE=/run/secrets/secret_keys`.

`python main.py check-config --page` generates this page from the code.
"""

_FIRST_YEAR = (
    *("DATABASE_URL", "REDIS_URL", "SMTP_URL", "MAIL_FROM", "SECRET_KEYS", "DOMAIN", "ISSUER"),
    *("SERVICE_NAME", "TRUSTED_PROXIES", "ADMIN_ALLOW", "CORS_ORIGINS", "CODE_DIGITS"),
)

_PROFILES = {
    "More load, several processes or copies": ("HOST", "PORT", "DATABASE_", "REDIS_", "HASH_", "MAIL_", "SMTP_"),
    "Other services verify or introspect tokens": ("TOKEN_", "CLIENT_ID", "SERVICE_CLIENTS", "KEY_"),
    "Longer or shorter sessions": ("SESSION_", "REFRESH_", "DEVICE_"),
    "Stricter codes": ("CODE_", "RECOVER_", "FLOW_", "LADDER_", "THERMOSTAT_", "ACCEPT_WEAKER_CODES"),
    "Many users behind one address": ("LIMIT_",),
    "Retention of the audit log": ("AUDIT_",),
    "Development": ("ENVIRONMENT", "DOCS"),
}
"""When an operator needs the other settings: the beginnings of their names, in the order of the page."""


def page() -> str:
    """Return the page as Markdown: the settings of the first year, then the others by profile."""
    fields = setting_fields(EdgeSettings) | setting_fields(Settings)
    settings = {name.upper(): field for name, field in fields.items()}
    parts = [_HEAD, "## The twelve settings that you need first\n", _table(settings, _FIRST_YEAR)]
    parts += ["## Rarely needed\n"]
    left = [name for name in settings if name not in _FIRST_YEAR]
    for profile, beginnings in _PROFILES.items():
        names = [name for beginning in beginnings for name in left if name.startswith(beginning)]
        parts += [f"### {profile}\n", _table(settings, names)]
        left = [name for name in left if name not in names]
    if left:
        raise ValueError(f"no profile of the settings page lists {', '.join(left)}")
    return "\n".join(parts)


def _table(settings: Mapping[str, FieldInfo], names: Iterable[str]) -> str:
    rows = [f"| `{name}` | {_default(settings[name])} | {settings[name].description} |" for name in names]
    return "\n".join(("| setting | default | meaning |", "| --- | --- | --- |", *rows, ""))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    written = _written(field.default)
    return f"`{written}`" if written else ""


def _written(value: object) -> str:
    """Return a value in the form that the environment has."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple() | dict():
            return ",".join(_written(one) for one in value)
        case _:
            return str(value)
