"""Answers whoever is still waited for when the server's patience at a stop is over."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer
from models.errors import Unavailable


class Interruption:
    """ASGI middleware. Left to itself, the server would take the end of a request for a mistake of ours, a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; when it is cut short and nothing was answered, say that trying again is right."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if started:
                raise
            await answer(Unavailable("The service is about to stop."))(scope, receive, send)
