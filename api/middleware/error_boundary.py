"""Answers every request that ended without an answer: after a bug, or when a stop cut the request off."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import error_response, internal_error
from models.errors import Unavailable


class ErrorBoundary:
    """ASGI middleware. Runs inside RequestId and RequestMetrics, so that fallback answers get both."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer it if it ends without an answer."""
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
    # A stop has waited for the request as long as it may; uvicorn alone would answer 500.
    return error_response(Unavailable("The service is about to stop."))
