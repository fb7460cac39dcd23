"""/me/sessions: where the user is signed in."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.deps import CurrentPrincipal, Sessions
from api.openapi.guarded import refusals
from api.problems import error_responses, validation_error
from api.request_context import CurrentActor
from jwt_tools.decorators import guard, requires
from models.errors import SessionNotFound
from models.responses.account import OwnSession
from models.values.permission import Permission

router = APIRouter(prefix="/me/sessions", tags=["account"], dependencies=[Depends(guard)])

_NO_ID = validation_error("path.session_id", "must be an id, such as 019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39")


@router.get(
    "",
    summary="List the own sessions",
    response_description="The sessions that live, newest first.",
    responses=error_responses(*refusals(Permission.ACCOUNT_READ)),
)
@requires(Permission.ACCOUNT_READ)
async def list_own_sessions(bearer: CurrentPrincipal, sessions: Sessions) -> list[OwnSession]:
    """Where the user is signed in: one entry a log-in."""
    return await sessions.list_own(bearer.user_id, bearer.session_id)


@router.delete(
    "/{session_id}",
    status_code=204,
    response_class=Response,
    summary="End one of the own sessions",
    response_description="The session has ended; its tokens are refused from now on.",
    responses=error_responses(*refusals(Permission.ACCOUNT_WRITE), SessionNotFound(), _NO_ID),
)
@requires(Permission.ACCOUNT_WRITE)
async def end_own_session(session_id: UUID, bearer: CurrentPrincipal, actor: CurrentActor, sessions: Sessions) -> None:
    """Sign the user out on one device, the one that asks included."""
    await sessions.end(actor, bearer.user_id, session_id)


@router.delete(
    "",
    status_code=204,
    response_class=Response,
    summary="End all other sessions",
    response_description="Every session but the one that asks has ended.",
    responses=error_responses(*refusals(Permission.ACCOUNT_WRITE)),
)
@requires(Permission.ACCOUNT_WRITE)
async def end_other_sessions(bearer: CurrentPrincipal, actor: CurrentActor, sessions: Sessions) -> None:
    """Sign the user out everywhere else."""
    await sessions.end_others(actor, bearer.user_id, bearer.session_id)
