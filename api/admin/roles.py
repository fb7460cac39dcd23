"""/admin/roles: administrators manage roles, which are named sets of permissions."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.deps import Roles
from api.openapi.responses import COMMON_ERRORS, error_responses, permission_errors, validation_error
from api.request_context import CurrentActor
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.admin.roles import NewRole, RoleChange, RoleName, RoleResponse
from models.errors import BuiltIn, RoleExists, RoleNotFound, UnknownPermission
from models.values.permission import Permission

router = APIRouter(prefix="/admin/roles", tags=["roles"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_READ = permission_errors(Permission.ROLE_READ)
_WRITE = permission_errors(Permission.ROLE_WRITE)
_NO_NAME = validation_error("path.role", "must be 2 to 32 small Latin letters, digits, _ or -, a letter first")


@router.get(
    "", summary="List roles", response_description="Every role, sorted by name.", responses=error_responses(*_READ)
)
@requires(Permission.ROLE_READ)
async def list_roles(roles: Roles) -> list[RoleResponse]:
    """List every role with its permissions."""
    return await roles.list_roles()


@router.post(
    "",
    status_code=201,
    summary="Create a role",
    response_description="The role; no user has it yet.",
    responses=error_responses(*COMMON_ERRORS, *_WRITE, RoleExists(), UnknownPermission()),
)
@requires(Permission.ROLE_WRITE)
async def create_role(form: NewRole, actor: CurrentActor, roles: Roles) -> RoleResponse:
    """Create a named set of permissions. It can contain only permissions that you have."""
    return await roles.create(actor, form.name, form.description, form.permissions)


@router.get(
    "/{role}",
    summary="Read a role",
    response_description="The role.",
    responses=error_responses(*_READ, RoleNotFound(), _NO_NAME),
)
@requires(Permission.ROLE_READ)
async def show_role(role: RoleName, roles: Roles) -> RoleResponse:
    """Read a role with its permissions."""
    return await roles.get(role)


@router.patch(
    "/{role}",
    summary="Change a role",
    response_description="The changed role.",
    responses=error_responses(*COMMON_ERRORS, *_WRITE, RoleNotFound(), BuiltIn(), UnknownPermission()),
)
@requires(Permission.ROLE_WRITE)
async def change_role(role: RoleName, form: RoleChange, actor: CurrentActor, roles: Roles) -> RoleResponse:
    """Replace the description, the permissions or both, effective from the next request of each user with the role.

    `admin` allows everything and cannot be changed.
    """
    return await roles.update(actor, role, form.description, form.permissions)


@router.delete(
    "/{role}",
    status_code=204,
    response_class=Response,
    summary="Delete a role",
    response_description="The role is deleted, and no user has it any more.",
    responses=error_responses(*_WRITE, RoleNotFound(), BuiltIn(), _NO_NAME),
)
@requires(Permission.ROLE_WRITE)
async def delete_role(role: RoleName, actor: CurrentActor, roles: Roles) -> None:
    """Delete a role and revoke it from every user. `admin` and `user` cannot be deleted."""
    await roles.delete(actor, role)
