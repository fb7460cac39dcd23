"""Gives every request an id, and every answer the headers that all answers have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.context.request_id import request_id

_ID = re.compile("[0-9a-f]{32}")

_DEFAULTS = {
    # threats.md, section 4: nothing may store, frame, sniff or leak an answer.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RequestId:
    """ASGI middleware. An id of the client's own would let the client write into the log; a trusted proxy may send one.

    Runs outside ProxyHeadersMiddleware, which replaces the address of the connection by which a proxy is trusted.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[str] = ()) -> None:
        self._app = app
        self._trusted = [ip_network(proxy) for proxy in trusted_proxies]

    def _id(self, scope: Scope) -> str:
        sent = Headers(scope=scope).get("x-request-id", "")
        if self._trusted and _ID.fullmatch(sent) and self._is_trusted(scope["client"]):
            return sent
        return uuid4().hex

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the id of the request, and send it with the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id_ = self._id(scope)
        request_id.set(id_)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = id_
                for header, value in _DEFAULTS.items():
                    headers.setdefault(header, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
