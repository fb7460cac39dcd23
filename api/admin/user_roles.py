"""/admin/users/{user_id}/roles: administrators assign and revoke roles."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.deps import Assignments
from api.openapi.responses import error_responses, invalid_id, permission_errors
from api.request_context import CurrentActor
from jwt_tools.decorators import guard, requires
from models.admin.roles import RoleName
from models.errors import LastAdministrator, RoleNotFound, TooManyRoles, UserNotFound
from models.values.permission import Permission

router = APIRouter(prefix="/admin/users/{user_id}/roles", tags=["roles"], dependencies=[Depends(guard)])

_WRITE = (*permission_errors(Permission.ROLE_WRITE), UserNotFound(), RoleNotFound(), invalid_id("user_id"))


@router.put(
    "/{role}",
    status_code=204,
    response_class=Response,
    summary="Assign a role to a user",
    response_description="The user has the role.",
    responses=error_responses(*_WRITE, TooManyRoles()),
)
@requires(Permission.ROLE_WRITE)
async def give_role(user_id: UUID, role: RoleName, actor: CurrentActor, assignments: Assignments) -> None:
    """Assign a role, effective from the user's next request. You can assign only a role that you have."""
    await assignments.assign(actor, user_id, role)


@router.delete(
    "/{role}",
    status_code=204,
    response_class=Response,
    summary="Revoke a role from a user",
    response_description="The user does not have the role.",
    responses=error_responses(*_WRITE, LastAdministrator()),
)
@requires(Permission.ROLE_WRITE)
async def take_role(user_id: UUID, role: RoleName, actor: CurrentActor, assignments: Assignments) -> None:
    """Revoke a role, effective from the user's next request.

    The last administrator cannot lose the role `admin`.
    """
    await assignments.revoke(actor, user_id, role)
