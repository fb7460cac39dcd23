"""Refuses a large body: by the length it tells, before a byte is read, or else as soon as it has grown too large."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer
from models.errors import BodyTooLarge

MAX_BODY = 16_384
"""Bytes (security.md, row 54); the largest body of ours is below 2 kB."""


class BodyLimit:
    """ASGI middleware. FastAPI's own ``max_body_size`` answers in plain text, whatever error handlers there are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 or pass the request on."""
        told = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if told.isdecimal() and int(told[:20]) > MAX_BODY:
            await answer(BodyTooLarge())(scope, receive, send)
            return
        seen = 0

        async def receive_little() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, receive_little, send)
