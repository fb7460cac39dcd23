"""Refuses a body that says it is too large before a byte of it is read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import answer
from models.errors import TooLarge

MAX_BODY = 16_384
"""Bytes (security.md, row 54); the largest body of ours is below 2 kB."""


class BodyLimit:
    """ASGI middleware; a body that does not tell its length is cut off by FastAPI's ``max_body_size``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if told.isdecimal() and int(told[:20]) > MAX_BODY:
            await answer(TooLarge())(scope, receive, send)
            return
        await self._app(scope, receive, send)
