"""Names that look like settings and are none: those of an older release, and misspelt ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches

RENAMED = {
    "SESSION_REPEAT": "REFRESH_REUSE_INTERVAL",
    "SESSION_MOST": "SESSION_MAX",
    "KEY_REREAD": "KEY_REFRESH_INTERVAL",
    "AUDIT_KEEP": "AUDIT_RETENTION",
    "MAIL_SERVICE": "SERVICE_NAME",
    "HASH_MAX_WAIT": "HASH_QUEUE_TIMEOUT",
}

_OURS_ALONE = {"LADDER", "LIMIT", "RECOVER", "REFRESH", "THERMOSTAT"}
"""Groups whose names no other program is known to use: every unknown name in them is a mistake."""

_ALIKE_IN_GROUP = 0.65
"""Likeness of the rest of two names with the same prefix: TTL and TLL have 0.67, FROM and FROM_NAME 0.62."""

_ALIKE = 0.85
"""Likeness of two whole names."""


def renamed_settings(given: Iterable[str]) -> dict[str, str]:
    """Return what is wrong with each given name that a setting had before."""
    problems = {}
    for name in given:
        plain = name.removesuffix("_FILE")
        if plain in RENAMED:
            problems[name] = f"was renamed to {RENAMED[plain]}{name.removeprefix(plain)}"
    return problems


def misspelt_settings(given: Iterable[str], known: Collection[str], groups: Collection[str]) -> Iterator[str]:
    """Yield a warning for each given name that is probably meant to be a known one.

    Other programs have variables with the same prefixes, such as SESSION_MANAGER and REDIS_PORT.
    """
    for name in given:
        plain = name.removesuffix("_FILE")
        if plain in known or name in known or "_" not in plain:
            continue
        prefix, _, rest = plain.partition("_")
        if prefix in groups and prefix not in _OURS_ALONE:
            candidates = {other.removeprefix(f"{prefix}_"): other for other in known if other.startswith(f"{prefix}_")}
            cutoff = _ALIKE_IN_GROUP
        else:
            rest, candidates = plain, {other: other for other in known}
            cutoff = 0 if prefix in _OURS_ALONE else _ALIKE
        for match in get_close_matches(rest, candidates, n=1, cutoff=cutoff):
            yield f"{name} is not a setting; did you mean {candidates[match]}{name.removeprefix(plain)}?"
