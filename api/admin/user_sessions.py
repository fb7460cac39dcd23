"""/admin/users/{user_id}/sessions: administrators list and end the sessions of a user."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.deps import AdminUsers
from api.openapi.responses import error_responses, invalid_id, permission_errors
from api.request_context import CurrentActor
from jwt_tools.decorators import guard, requires
from models.errors import SessionNotFound, UserNotFound
from models.responses.account import UserSession
from models.values.permission import Permission

router = APIRouter(prefix="/admin/users/{user_id}/sessions", tags=["users"], dependencies=[Depends(guard)])

_ENDING = (*permission_errors(Permission.SESSION_WRITE), UserNotFound(), invalid_id("user_id"))


@router.get(
    "",
    summary="List the sessions of a user",
    response_description="The active sessions, newest first.",
    responses=error_responses(*permission_errors(Permission.USER_READ), UserNotFound(), invalid_id("user_id")),
)
@requires(Permission.USER_READ)
async def list_user_sessions(user_id: UUID, users: AdminUsers) -> list[UserSession]:
    """List where a user is signed in: one entry for each log-in."""
    return await users.list_sessions(user_id)


@router.delete(
    "",
    status_code=204,
    response_class=Response,
    summary="End all sessions of a user",
    response_description="Every session has ended; their tokens are refused from now on.",
    responses=error_responses(*_ENDING),
)
@requires(Permission.SESSION_WRITE)
async def end_user_sessions(user_id: UUID, actor: CurrentActor, users: AdminUsers) -> None:
    """Sign a user out everywhere. The user can log in again; to prevent that, block the user.

    You cannot sign out a user who has a permission that you lack.
    """
    await users.end_sessions(actor, user_id)


@router.delete(
    "/{session_id}",
    status_code=204,
    response_class=Response,
    summary="End one session of a user",
    response_description="The session has ended; its tokens are refused from now on.",
    responses=error_responses(*_ENDING, SessionNotFound("GET /admin/users/{user_id}/sessions lists the active ones.")),
)
@requires(Permission.SESSION_WRITE)
async def end_user_session(user_id: UUID, session_id: UUID, actor: CurrentActor, users: AdminUsers) -> None:
    """Sign a user out of one session."""
    await users.end_session(actor, user_id, session_id)
