"""Reads a JSON body strictly, before anything else looks at it."""

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
        """The body as UTF-8 JSON without NaN, twins or depth.

        Raises:
            JSONDecodeError: it is anything else; FastAPI makes it a refusal, and what was sent is not repeated.
        """
        try:
            return strict_json.parse(await self.body())
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


class StrictJsonRoute(APIRoute):
    """A route whose body, if it takes one, is strict JSON and is declared as such."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route, behind a look at the body's type."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            body_field, is_json = self.body_field, _is_json(request.headers.get("content-type", ""))
            # A body that may be left out needs no type as long as it is.
            if body_field and not is_json and (body_field.field_info.is_required() or await strict.body()):
                raise UnsupportedMediaType
            return await handle(strict)

        return strictly
