"""/admin/users: accounts, for administrators."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from api.deps import AdminUsers, WishedLocale
from api.openapi.guarded import invalid_id, refusals
from api.problems import COMMON_ERRORS, error_responses, validation_error
from api.request_context import CurrentActor
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.admin.users import AdminUser, Invitation, UserPage, UserQuery
from models.errors import EmailTaken, LastAdministrator, LoginTaken, UserNotFound
from models.values.permission import Permission

router = APIRouter(prefix="/admin/users", tags=["users"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_NO_ID = invalid_id("user_id")
_ACTING = (
    *refusals(Permission.USER_WRITE),
    UserNotFound(),
    _NO_ID,
)


@router.get(
    "",
    summary="Search users",
    response_description="A page of the users that fit, the newest first.",
    responses=error_responses(
        *refusals(Permission.USER_READ), validation_error("query.limit", "Input should be less than or equal to 200")
    ),
)
@requires(Permission.USER_READ)
async def find_users(query: Annotated[UserQuery, Query()], users: AdminUsers) -> UserPage:
    """Find users by how their login or e-mail address begins, or by their id, their role, or whether they are blocked.

    How many there are in all is not told: counting costs a look at each of them.
    """
    return await users.search(query)


@router.post(
    "",
    status_code=201,
    summary="Make an account and mail an invitation",
    response_description="The new account. It has no password yet.",
    responses=error_responses(*COMMON_ERRORS, *refusals(Permission.USER_WRITE), EmailTaken(), LoginTaken()),
)
@requires(Permission.USER_WRITE)
async def invite_user(form: Invitation, actor: CurrentActor, users: AdminUsers, wished: WishedLocale) -> AdminUser:
    """Make an account with the role `user` for somebody, who is told so by mail, and chooses a password by `/recover`.

    That mailed code proves that the address is theirs; the invitation itself holds neither link nor secret.
    """
    return await users.invite(actor, form.email, form.login, form.locale or wished)


@router.get(
    "/{user_id}",
    summary="Read a user",
    response_description="The user as of now.",
    responses=error_responses(*refusals(Permission.USER_READ), UserNotFound(), _NO_ID),
)
@requires(Permission.USER_READ)
async def show_user(user_id: UUID, users: AdminUsers) -> AdminUser:
    """One user, with roles and permissions."""
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
    """Keep a user out: all sessions end, the next request is refused, and so is every log-in; a mail says so.

    Nobody blocks somebody who may do more, and the last administrator cannot be blocked.
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
    """Let a user log in again, and tell the owner by mail; no session from before comes back."""
    await users.unblock(actor, user_id)


@router.delete(
    "/{user_id}",
    status_code=204,
    response_class=Response,
    summary="Delete a user",
    response_description="The account is gone.",
    responses=error_responses(*_ACTING, LastAdministrator()),
)
@requires(Permission.USER_WRITE)
async def delete_user(user_id: UUID, actor: CurrentActor, users: AdminUsers) -> None:
    """Forget an account for good: its roles, its sessions and its waiting mail. The audit log keeps the bare id.

    Nobody deletes somebody who may do more, and the last administrator cannot be deleted.
    """
    await users.delete(actor, user_id)
