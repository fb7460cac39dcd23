"""What a stranger sees of an answer, byte by byte, but for what is fresh in every one."""

from __future__ import annotations

import json
import re

import httpx

_FRESH_HEADERS = {"x-request-id", "date"}
_SESSION_KEY = re.compile(rb'"session_key":"[A-Za-z0-9_-]{64}"')

VisibleResponse = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers in their order, body."""


def visible_response(answer: httpx.Response) -> VisibleResponse:
    """Everything of an answer but its session key, its request id and its date."""
    headers = [(name.lower(), value) for name, value in answer.headers.multi_items()]
    body = _SESSION_KEY.sub(b'"session_key":""', answer.content)
    return answer.status_code, [(name, value) for name, value in headers if name not in _FRESH_HEADERS], body


def without_seconds_left(answer: httpx.Response) -> tuple[int, object]:
    """Status and body where what is left of a flow's life is told: two that began together may differ by a second."""
    body = json.loads(answer.content)
    return answer.status_code, {**body, "session_key": "", "expires_in": body.get("expires_in", 0) // 60}
