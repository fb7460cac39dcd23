"""Examples for the documentation that a route tells better than the shape of its answer."""

from __future__ import annotations

from typing import Any

from models.responses.flows import SESSION_KEY_EXAMPLE

COMMON_PASSWORD = "This password is one of the most common. Choose one that nobody else would."  # noqa: S105


def opened(path: str, *, expires_in: int = 1800) -> dict[int | str, dict[str, Any]]:
    """The 202 of a flow that goes on at a path, for the OpenAPI description of a route."""
    example = {"session_key": SESSION_KEY_EXAMPLE, "expires_in": expires_in, "resend_after": 60, "next": path}
    return {202: {"content": {"application/json": {"example": example}}}}
