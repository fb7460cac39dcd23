"""GET /.well-known/*: what a service has to know to verify our tokens."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import PublishedMetadata
from models.responses.tokens import KeySet, ServerMetadata

router = APIRouter(prefix="/.well-known", tags=["tokens"])

_AGE = {"Cache-Control": {"schema": {"type": "string"}, "description": "How long it may be kept."}}
_TAG = {"ETag": {"schema": {"type": "string"}, "description": "Names this list; to be sent as `If-None-Match`."}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"headers": _AGE | _TAG},
    304: {"description": "The list is still the one that the verifier has.", "headers": _AGE | _TAG},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `ETag` of the list that is known.",
}


@router.get(
    "/jwks.json",
    summary="List the keys that verify our tokens",
    response_description="The list; keep it for as long as `Cache-Control` says.",
    response_model=KeySet,
    response_model_exclude_none=True,
    responses=_ANSWERS,
    openapi_extra={"parameters": [_IF_NONE_MATCH]},
)
async def show_public_keys(
    server_metadata: PublishedMetadata, request: Request, response: Response
) -> KeySet | Response:
    """RFC 7517: every key that a valid access token may have been signed with, and the one that will sign next."""
    keys = KeySet.model_validate(server_metadata.jwks)
    etag = f'"{sha256(keys.model_dump_json().encode()).hexdigest()[:32]}"'
    headers = {"Cache-Control": f"public, max-age={server_metadata.max_age}", "ETag": etag}
    known_tags = request.headers.get("if-none-match", "").split(",")
    if etag in (tag.strip().removeprefix("W/") for tag in known_tags):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return keys


@router.get(
    "/oauth-authorization-server",
    summary="Tell where everything is",
    response_description="The addresses; keep them for as long as `Cache-Control` says.",
    response_model_exclude_none=True,
    responses={200: {"headers": _AGE}},
)
async def show_metadata(server_metadata: PublishedMetadata, response: Response) -> ServerMetadata:
    """RFC 8414, as far as it is about us: a log-in is `/login`, and no browser is redirected."""
    response.headers["Cache-Control"] = f"public, max-age={server_metadata.max_age}"
    return server_metadata.metadata
