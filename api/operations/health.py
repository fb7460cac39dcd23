"""GET /health: for load balancers and operators."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import HealthChecks
from models.responses.common import Health

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Check that the process is alive", response_description="The process is alive.")
async def is_alive() -> Health:
    """Answer without asking any other server."""
    return Health(status="ok")


_AWAY = {"status": "unavailable", "dependencies": {"postgresql": "ok", "valkey": "away", "signing key": "ok"}}


@router.get(
    "/ready",
    summary="Check that the service is ready",
    response_description="Everything that the service needs is available.",
    responses={
        503: {
            "model": Health,
            "description": "A dependency is unavailable; the answer names it.",
            "content": {"application/json": {"example": _AWAY}},
        }
    },
)
async def is_ready(response: Response, health_checks: HealthChecks) -> Health:
    """Report whether PostgreSQL and Valkey answer, and whether a signing key is available, each by name."""
    available = await health_checks.dependencies()
    ready = all(available.values())
    response.status_code = 200 if ready else 503
    return Health(
        status="ok" if ready else "unavailable",
        dependencies={name: "ok" if answers else "away" for name, answers in available.items()},
    )
