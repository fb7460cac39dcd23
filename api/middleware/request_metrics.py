"""Counts every request by its route and outcome, for Prometheus."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.context.counters import Counter


class RequestMetrics:
    """ASGI middleware. The label of a route is its template, so text from a client never becomes a label."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            state, route = scope["state"], scope.get("route")
            outcome = state.get("outcome", str(status))
            name = route.path if route else "none"
            services = state["services"]
            services.counters.count(Counter.REQUESTS, scope["method"] if route else "any", name, outcome)
            if client := scope.get("client"):
                services.single_client_warning.observe(client[0])
