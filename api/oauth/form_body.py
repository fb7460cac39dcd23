"""Reads the form that OAuth requests are sent as."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from models.errors import InvalidForm

_MAX_FIELDS = 10


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of an ``application/x-www-form-urlencoded`` body.

    Raises:
        InvalidForm: it is anything else, or has a field twice (RFC 6749 section 3.2).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise InvalidForm("The body must be application/x-www-form-urlencoded.")
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise InvalidForm("The body must be a form in UTF-8 of at most ten fields.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidForm("The form has a field twice.")
    return fields
