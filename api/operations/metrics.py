"""GET /metrics: for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Metrics
from api.openapi.responses import error_responses
from models.errors import Unavailable

router = APIRouter(tags=["health"])

_TEXT_FORMAT = "text/plain; version=1.0.0; charset=utf-8"
_EXAMPLE = 'auth_code_floor_digits{purpose="recover"} 4.0'


@router.get(
    "/metrics",
    summary="Read the metrics",
    response_description="The metrics in Prometheus' text format.",
    response_class=Response,
    responses=error_responses(Unavailable()) | {200: {"content": {_TEXT_FORMAT: {"example": _EXAMPLE}}}},
)
async def metrics(service: Metrics) -> Response:
    """Report requests by outcome, hashes, mail, and the minimum length of codes; `docs/operations.md` explains them."""
    return Response(await service.exposition(), media_type=_TEXT_FORMAT)
