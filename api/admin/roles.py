"""/admin/roles: named sets of permissions."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.deps import Roles
from api.openapi.guarded import refusals
from api.problems import COMMON_ERRORS, error_responses, validation_error
from api.request_context import CurrentActor
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.admin.roles import NewRole, RoleChange, RoleName, RoleResponse
from models.errors import BuiltIn, RoleExists, RoleNotFound, UnknownPermission
from models.values.permission import Permission

router = APIRouter(prefix="/admin/roles", tags=["roles"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_READ = refusals(Permission.ROLE_READ)
_WRITE = refusals(Permission.ROLE_WRITE)
_NO_NAME = validation_error("path.role", "must be 2 to 32 small Latin letters, digits, _ or -, a letter first")


@router.get(
    "",
    summary="List the roles",
    response_description="Every role, by name.",
    responses=error_responses(*_READ),
)
@requires(Permission.ROLE_READ)
async def list_roles(roles: Roles) -> list[RoleResponse]:
    """Every role and what it allows."""
    return await roles.list_roles()


@router.post(
    "",
    status_code=201,
    summary="Make a role",
    response_description="The role; nobody has it yet.",
    responses=error_responses(*COMMON_ERRORS, *_WRITE, RoleExists(), UnknownPermission()),
)
@requires(Permission.ROLE_WRITE)
async def create_role(form: NewRole, actor: CurrentActor, roles: Roles) -> RoleResponse:
    """A new named set of permissions. Nobody makes a role that allows more than he may do himself."""
    return await roles.create(actor, form.name, form.description, form.permissions)


@router.get(
    "/{role}",
    summary="Read a role",
    response_description="The role.",
    responses=error_responses(*_READ, RoleNotFound(), _NO_NAME),
)
@requires(Permission.ROLE_READ)
async def show_role(role: RoleName, roles: Roles) -> RoleResponse:
    """One role and what it allows."""
    return await roles.get(role)


@router.patch(
    "/{role}",
    summary="Change a role",
    response_description="The role as it is now.",
    responses=error_responses(*COMMON_ERRORS, *_WRITE, RoleNotFound(), BuiltIn(), UnknownPermission()),
)
@requires(Permission.ROLE_WRITE)
async def change_role(role: RoleName, form: RoleChange, actor: CurrentActor, roles: Roles) -> RoleResponse:
    """Another description, other permissions, or both; everybody who has it may do so from the next request on.

    `admin` allows everything and stays as it is.
    """
    return await roles.update(actor, role, form.description, form.permissions)


@router.delete(
    "/{role}",
    status_code=204,
    response_class=Response,
    summary="Delete a role",
    response_description="The role is gone, from everybody who had it.",
    responses=error_responses(*_WRITE, RoleNotFound(), BuiltIn(), _NO_NAME),
)
@requires(Permission.ROLE_WRITE)
async def delete_role(role: RoleName, actor: CurrentActor, roles: Roles) -> None:
    """Take a role from everybody and forget it. `admin` and `user` stay."""
    await roles.delete(actor, role)
