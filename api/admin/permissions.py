"""/admin/permissions: administrators manage the permissions that roles consist of."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.deps import Roles
from api.openapi.responses import COMMON_ERRORS, error_responses, permission_errors, validation_error
from api.request_context import CurrentActor
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.admin.roles import NewPermission, PermissionChange, PermissionName, PermissionResponse
from models.errors import BuiltIn, PermissionExists, PermissionNotFound, TooManyPermissions
from models.values.permission import Permission

router = APIRouter(
    prefix="/admin/permissions", tags=["roles"], route_class=StrictJsonRoute, dependencies=[Depends(guard)]
)

_WRITE = permission_errors(Permission.ROLE_WRITE)
_NO_NAME = validation_error("path.permission", "must be resource:action, such as reports:read, of at most 40 letters")


@router.get(
    "",
    summary="List permissions",
    response_description="Every permission, sorted by name.",
    responses=error_responses(*permission_errors(Permission.ROLE_READ)),
)
@requires(Permission.ROLE_READ)
async def list_permissions(roles: Roles) -> list[PermissionResponse]:
    """List every permission: those that this service requires, and those that you have created for your services."""
    return await roles.list_permissions()


@router.post(
    "",
    status_code=201,
    summary="Create a permission",
    response_description="The permission; administrators have it already.",
    responses=error_responses(*COMMON_ERRORS, *_WRITE, PermissionExists(), TooManyPermissions()),
)
@requires(Permission.ROLE_WRITE)
async def create_permission(form: NewPermission, actor: CurrentActor, roles: Roles) -> PermissionResponse:
    """Create a permission that your services can require: `@requires("reports:read")`. `admin` allows it at once."""
    return await roles.create_permission(actor, form.name, form.description)


@router.patch(
    "/{permission}",
    summary="Change a permission's description",
    response_description="The changed permission.",
    responses=error_responses(*COMMON_ERRORS, *_WRITE, PermissionNotFound()),
)
@requires(Permission.ROLE_WRITE)
async def change_permission(
    permission: PermissionName, form: PermissionChange, actor: CurrentActor, roles: Roles
) -> PermissionResponse:
    """Replace the description. The name cannot be changed, because other services require it."""
    return await roles.update_permission(actor, permission, form.description)


@router.delete(
    "/{permission}",
    status_code=204,
    response_class=Response,
    summary="Delete a permission",
    response_description="The permission is deleted, and no role allows it any more.",
    responses=error_responses(*_WRITE, PermissionNotFound(), BuiltIn(), _NO_NAME),
)
@requires(Permission.ROLE_WRITE)
async def delete_permission(permission: PermissionName, actor: CurrentActor, roles: Roles) -> None:
    """Delete a permission and remove it from every role. Permissions that this service requires cannot be deleted."""
    await roles.delete_permission(actor, permission)
