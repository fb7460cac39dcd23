"""/me/sessions: users list and end their own sessions."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.deps import CurrentPrincipal, Sessions
from api.openapi.responses import error_responses, invalid_id, permission_errors
from api.request_context import CurrentActor
from jwt_tools.decorators import guard, requires
from models.errors import SessionNotFound
from models.responses.account import OwnSession
from models.values.permission import Permission

router = APIRouter(prefix="/me/sessions", tags=["account"], dependencies=[Depends(guard)])


@router.get(
    "",
    summary="List your sessions",
    response_description="The active sessions, newest first.",
    responses=error_responses(*permission_errors(Permission.ACCOUNT_READ)),
)
@requires(Permission.ACCOUNT_READ)
async def list_own_sessions(user: CurrentPrincipal, sessions: Sessions) -> list[OwnSession]:
    """List where you are signed in: one entry for each log-in."""
    return await sessions.list_own(user.user_id, user.session_id)


@router.delete(
    "/{session_id}",
    status_code=204,
    response_class=Response,
    summary="End one of your sessions",
    response_description="The session has ended; its tokens are refused from now on.",
    responses=error_responses(
        *permission_errors(Permission.ACCOUNT_WRITE), SessionNotFound(), invalid_id("session_id")
    ),
)
@requires(Permission.ACCOUNT_WRITE)
async def end_own_session(session_id: UUID, user: CurrentPrincipal, actor: CurrentActor, sessions: Sessions) -> None:
    """Sign out of one session, which can be the current one."""
    await sessions.end(actor, user.user_id, session_id)


@router.delete(
    "",
    status_code=204,
    response_class=Response,
    summary="End all other sessions",
    response_description="Every session except the current one has ended.",
    responses=error_responses(*permission_errors(Permission.ACCOUNT_WRITE)),
)
@requires(Permission.ACCOUNT_WRITE)
async def end_other_sessions(user: CurrentPrincipal, actor: CurrentActor, sessions: Sessions) -> None:
    """Sign out everywhere except in the current session."""
    await sessions.end_others(actor, user.user_id, user.session_id)
