"""Gives every request a name, and every answer the headers that all answers have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.context.request_id import request_id

_A_NAME = re.compile("[0-9a-f]{32}")

_DEFAULTS = {
    # security.md, section 4: an API's answers are stored, framed, sniffed and leaked nowhere.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RequestId:
    """ASGI middleware. The name is ours, or that of a trusted proxy: a stranger's would let him write into the log.

    It stands outside of whatever takes the client's address from a header: whom to trust is told by the connection.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[str] = ()) -> None:
        self._app = app
        self._trusted = [ip_network(proxy) for proxy in trusted_proxies]

    def _name(self, scope: Scope) -> str:
        told = Headers(scope=scope).get("x-request-id", "")
        if self._trusted and _A_NAME.fullmatch(told) and self._is_trusted(scope["client"]):
            return told
        return uuid4().hex

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request, and the answer after it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = self._name(scope)
        request_id.set(name)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = name
                for header, value in _DEFAULTS.items():
                    headers.setdefault(header, value)
            await send(message)

        await self._app(scope, receive, send_named)
