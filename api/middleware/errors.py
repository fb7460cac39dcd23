"""Answers every request that nobody else has answered: a mistake of ours, or the end of the server's patience."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer, internal_error
from models.errors import Unavailable


class ErrorBoundary:
    """ASGI middleware. It stands inside of what names and counts answers, so that these are named and counted, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer it if that ends without an answer."""
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except (Exception, asyncio.CancelledError) as error:
            if started or scope["type"] != "http":
                raise
            await _fallback_response(scope, error)(scope, receive, send)


def _fallback_response(scope: Scope, error: BaseException) -> Response:
    if isinstance(error, Exception):
        return internal_error(scope["method"], scope["path"], error)
    # A stop has waited for the request as long as it may; the server would call that a mistake of ours.
    return answer(Unavailable("The service is about to stop."))
