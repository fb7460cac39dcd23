"""GET /health: for load balancers and for the operator at night."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import HealthChecks
from models.responses.common import Health

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Is the process alive?", response_description="It is.")
async def is_alive() -> Health:
    """The process answers; nothing else is asked."""
    return Health(status="ok")


_AWAY = {"status": "unavailable", "dependencies": {"postgresql": "ok", "valkey": "away", "signing key": "ok"}}


@router.get(
    "/ready",
    summary="Can it serve?",
    response_description="All that it needs is there.",
    responses={
        503: {
            "model": Health,
            "description": "Something that we depend on is away.",
            "content": {"application/json": {"example": _AWAY}},
        }
    },
)
async def is_ready(response: Response, health_checks: HealthChecks) -> Health:
    """Whether PostgreSQL and Valkey answer, and whether there is a key to sign with, each by name."""
    found = await health_checks.dependencies()
    all_there = all(found.values())
    response.status_code = 200 if all_there else 503
    return Health(
        status="ok" if all_there else "unavailable",
        dependencies={name: "ok" if there else "away" for name, there in found.items()},
    )
