"""Reads a JSON body strictly, before anything else looks at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from models.errors import NotJson


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 section 4 leaves doubled names open, so that two readers may see two bodies; we see none."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _parse(raw: bytes) -> Any:
    return json.loads(raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body as UTF-8 JSON without NaN, twins or depth.

        Raises:
            JSONDecodeError: it is anything else; FastAPI makes it a refusal, and what was sent is not repeated.
        """
        try:
            return _parse(await self.body())
        except (ValueError, RecursionError):
            # UnicodeDecodeError and JSONDecodeError are ValueErrors, and so is an integer of 5,000 digits; a body that
            # nests as deep as its 16 kB allow ends in a RecursionError.
            raise json.JSONDecodeError("must be one JSON object in UTF-8", "", 0) from None


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
                raise NotJson
            return await handle(strict)

        return strictly
