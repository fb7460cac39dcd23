"""Strict JSON (RFC 8259): UTF-8, without NaN, without duplicate names."""

from __future__ import annotations

import json
from typing import Any, NoReturn

REFUSAL = "must be one JSON object in UTF-8, without NaN and without duplicate names"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate names: RFC 8259 section 4 lets each reader choose, so that two readers may see two bodies."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def parse(raw: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: the text is not strict JSON; the message shows no part of it.
    """
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError):
        # UnicodeDecodeError and JSONDecodeError are ValueErrors, and so is an integer of 5,000 digits; very deep
        # nesting ends in a RecursionError.
        raise ValueError(REFUSAL) from None
