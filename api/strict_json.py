"""Reads JSON bodies strictly, before FastAPI parses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from models.errors import UnsupportedMediaType
from models.values import strict_json


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Return the body as one object of UTF-8 JSON without NaN, duplicate names or deep nesting.

        Raises:
            JSONDecodeError: it is anything else; FastAPI turns this into a validation error without the text.
        """
        try:
            return strict_json.parse(await self.body())
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


class StrictJsonRoute(APIRoute):
    """A route whose body, if it has one, must be strict JSON with the type application/json."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that first checks the Content-Type, and then calls the route with a strictly read body."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            body_field, is_json = self.body_field, _is_json(request.headers.get("content-type", ""))
            # An optional body needs no Content-Type when it is left out.
            if body_field and not is_json and (body_field.field_info.is_required() or await strict.body()):
                raise UnsupportedMediaType
            return await handle(strict)

        return handle_strictly
