"""The languages that mails are written in."""

from __future__ import annotations

from enum import StrEnum


class Locale(StrEnum):
    """A language that every mail exists in."""

    EN = "en"
    RU = "ru"


_LANGUAGES = frozenset(locale.value for locale in Locale)


def preferred_locale(accept_language: str | None) -> Locale:
    """Return our best language for an ``Accept-Language`` header (RFC 9110 section 12.5.4); English by default."""
    accepted = []
    for position, part in enumerate((accept_language or "")[:500].split(",")):
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        language = tag.strip().split("-")[0].lower()
        if language in _LANGUAGES and 0 < quality <= 1:
            accepted.append((-quality, position, language))
    return Locale(min(accepted)[2]) if accepted else Locale.EN
