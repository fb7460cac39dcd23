"""/admin/users/{user_id}/roles: who has which role."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.deps import Assignments
from api.openapi.guarded import invalid_id, refusals
from api.problems import error_responses
from api.request_context import CurrentActor
from jwt_tools.decorators import guard, requires
from models.admin.roles import RoleName
from models.errors import LastAdministrator, RoleNotFound, TooManyRoles, UserNotFound
from models.values.permission import Permission

router = APIRouter(prefix="/admin/users/{user_id}/roles", tags=["roles"], dependencies=[Depends(guard)])

_WRITE = (*refusals(Permission.ROLE_WRITE), UserNotFound(), RoleNotFound(), invalid_id("user_id"))


@router.put(
    "/{role}",
    status_code=204,
    response_class=Response,
    summary="Give a user a role",
    response_description="The user has the role.",
    responses=error_responses(*_WRITE, TooManyRoles()),
)
@requires(Permission.ROLE_WRITE)
async def give_role(user_id: UUID, role: RoleName, actor: CurrentActor, assignments: Assignments) -> None:
    """The user may do what the role allows from the next request on. Nobody gives what he may not do himself."""
    await assignments.assign(actor, user_id, role)


@router.delete(
    "/{role}",
    status_code=204,
    response_class=Response,
    summary="Take a role from a user",
    response_description="The user does not have the role.",
    responses=error_responses(*_WRITE, LastAdministrator()),
)
@requires(Permission.ROLE_WRITE)
async def take_role(user_id: UUID, role: RoleName, actor: CurrentActor, assignments: Assignments) -> None:
    """The user may not do any more what the role alone allowed, from the next request on.

    The last administrator stays one.
    """
    await assignments.revoke(actor, user_id, role)
