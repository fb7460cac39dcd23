"""JSON as RFC 8259 means it: UTF-8, without NaN, without doubled names."""

from __future__ import annotations

import json
from typing import Any, NoReturn

REFUSAL = "must be one JSON object in UTF-8, without NaN and without doubled names"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 section 4 leaves doubled names open, so that two readers may see two bodies; we see none."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def parse(raw: bytes) -> Any:
    """What the text says.

    Raises:
        ValueError: it is anything else; the message says nothing that was not said here.
    """
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
    except (ValueError, RecursionError):
        # UnicodeDecodeError and JSONDecodeError are ValueErrors, and so is an integer of 5,000 digits; a text that
        # nests as deep as its length allows ends in a RecursionError.
        raise ValueError(REFUSAL) from None
