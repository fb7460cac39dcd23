"""Refuses a large body: by its Content-Length before a byte is read, or else as soon as it is too large."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import error_response
from models.errors import BodyTooLarge

MAX_BODY = 16_384
"""Bytes (threats.md, row 54); the largest valid body has less than 2 kB."""


class BodyLimit:
    """ASGI middleware. FastAPI's own ``max_body_size`` answers in plain text and calls no error handler."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 or pass the request on."""
        length = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if length.isdecimal() and int(length[:20]) > MAX_BODY:
            await error_response(BodyTooLarge())(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, receive_limited, send)
