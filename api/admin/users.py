"""/admin/users: administrators search, invite, block and delete users."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from api.deps import AdminUsers, WishedLocale
from api.openapi.responses import COMMON_ERRORS, error_responses, invalid_id, permission_errors, validation_error
from api.request_context import CurrentActor
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.admin.users import AdminUser, Invitation, UserPage, UserQuery
from models.errors import EmailTaken, LastAdministrator, LoginTaken, UserNotFound
from models.values.permission import Permission

router = APIRouter(prefix="/admin/users", tags=["users"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_NO_ID = invalid_id("user_id")
_ACTING = (*permission_errors(Permission.USER_WRITE), UserNotFound(), _NO_ID)


@router.get(
    "",
    summary="Search users",
    response_description="A page of the matching users, newest first.",
    responses=error_responses(
        *permission_errors(Permission.USER_READ),
        validation_error("query.limit", "Input should be less than or equal to 200"),
    ),
)
@requires(Permission.USER_READ)
async def find_users(query: Annotated[UserQuery, Query()], users: AdminUsers) -> UserPage:
    """Search users by the start of login or e-mail address, by id, by role, or by whether they are blocked.

    The answer contains no total, because counting would read every user.
    """
    return await users.search(query)


@router.post(
    "",
    status_code=201,
    summary="Create an account and mail an invitation",
    response_description="The new account; it has no password yet.",
    responses=error_responses(*COMMON_ERRORS, *permission_errors(Permission.USER_WRITE), EmailTaken(), LoginTaken()),
)
@requires(Permission.USER_WRITE)
async def invite_user(form: Invitation, actor: CurrentActor, users: AdminUsers, wished: WishedLocale) -> AdminUser:
    """Create an account with the role `user`, and mail its owner an invitation to choose a password at `/recover`.

    The code of that recovery proves that the owner receives mail at the address; the invitation itself contains neither
    a link nor a secret.
    """
    return await users.invite(actor, form.email, form.login, form.locale or wished)


@router.get(
    "/{user_id}",
    summary="Read a user",
    response_description="The user.",
    responses=error_responses(*permission_errors(Permission.USER_READ), UserNotFound(), _NO_ID),
)
@requires(Permission.USER_READ)
async def show_user(user_id: UUID, users: AdminUsers) -> AdminUser:
    """Read a user with roles and permissions."""
    return await users.get(user_id)


@router.post(
    "/{user_id}/block",
    status_code=204,
    response_class=Response,
    summary="Block a user",
    response_description="The user is blocked.",
    responses=error_responses(*_ACTING, LastAdministrator()),
)
@requires(Permission.USER_WRITE)
async def block_user(user_id: UUID, actor: CurrentActor, users: AdminUsers) -> None:
    """Block a user: all sessions end, every request and every log-in is refused. The user is notified by mail.

    You cannot block a user who has a permission that you lack, nor the last administrator.
    """
    await users.block(actor, user_id)


@router.post(
    "/{user_id}/unblock",
    status_code=204,
    response_class=Response,
    summary="Unblock a user",
    response_description="The user is not blocked.",
    responses=error_responses(*_ACTING),
)
@requires(Permission.USER_WRITE)
async def unblock_user(user_id: UUID, actor: CurrentActor, users: AdminUsers) -> None:
    """Let a user log in again; earlier sessions stay ended. The user is notified by mail."""
    await users.unblock(actor, user_id)


@router.delete(
    "/{user_id}",
    status_code=204,
    response_class=Response,
    summary="Delete a user",
    response_description="The account is deleted.",
    responses=error_responses(*_ACTING, LastAdministrator()),
)
@requires(Permission.USER_WRITE)
async def delete_user(user_id: UUID, actor: CurrentActor, users: AdminUsers) -> None:
    """Delete an account for good, with its roles, sessions and unsent mail. The audit log keeps the user's id.

    You cannot delete a user who has a permission that you lack, nor the last administrator.
    """
    await users.delete(actor, user_id)
