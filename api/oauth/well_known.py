"""GET /.well-known/*: what other services need to verify our tokens."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import PublishedMetadata
from models.responses.tokens import KeySet, ServerMetadata

router = APIRouter(prefix="/.well-known", tags=["tokens"])

_AGE = {"Cache-Control": {"schema": {"type": "string"}, "description": "How long it may be cached."}}
_TAG = {"ETag": {"schema": {"type": "string"}, "description": "Version of the list; send it as `If-None-Match`."}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"headers": _AGE | _TAG},
    304: {"description": "The list has not changed.", "headers": _AGE | _TAG},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `ETag` of the cached list.",
}


@router.get(
    "/jwks.json",
    summary="List the public keys",
    response_description="The keys; cache them for as long as `Cache-Control` says.",
    response_model=KeySet,
    response_model_exclude_none=True,
    responses=_ANSWERS,
    openapi_extra={"parameters": [_IF_NONE_MATCH]},
)
async def show_public_keys(
    server_metadata: PublishedMetadata, request: Request, response: Response
) -> KeySet | Response:
    """List every key that may have signed a valid access token, and the key that will sign next (RFC 7517)."""
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
    summary="Read the server metadata",
    response_description="The metadata; cache it for as long as `Cache-Control` says.",
    response_model_exclude_none=True,
    responses={200: {"headers": _AGE}},
)
async def show_metadata(server_metadata: PublishedMetadata, response: Response) -> ServerMetadata:
    """Read the addresses of the endpoints (RFC 8414). There is no authorization endpoint: users log in at `/login`."""
    response.headers["Cache-Control"] = f"public, max-age={server_metadata.max_age}"
    return server_metadata.metadata
