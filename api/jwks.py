"""GET /.well-known/jwks.json: the public keys that verify our tokens."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Ring
from models.answers import KeySet

router = APIRouter(prefix="/.well-known", tags=["tokens"])

_MAX_AGE = 300
"""Seconds that a verifier may keep the list."""


@router.get(
    "/jwks.json",
    summary="List the keys that verify our tokens",
    response_description="The list; keep it for 5 minutes.",
)
async def show_public_keys(ring: Ring, response: Response) -> KeySet:
    """RFC 7517: every key that a valid access token may have been signed with."""
    response.headers["Cache-Control"] = f"public, max-age={_MAX_AGE}"
    return KeySet.model_validate(ring.jwks)
