"""Gives every request a name, and every answer the headers that all answers have."""

from __future__ import annotations

from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import unforeseen
from models.request_id import request_id

_DEFAULTS = {
    # security.md, section 4: an API's answers are stored, framed, sniffed and leaked nowhere.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RequestId:
    """ASGI middleware. The name is ours: a caller's own would let strangers write into the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request, and the answer after it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = uuid4().hex
        request_id.set(name)
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = name
                for header, value in _DEFAULTS.items():
                    headers.setdefault(header, value)
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception as error:
            # Answered here and not further out, so that a 500 has its headers, too.
            if started:
                raise
            await unforeseen(scope["method"], scope["path"], error)(scope, receive, send_named)
