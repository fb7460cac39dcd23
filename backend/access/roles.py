"""Roles, which are named sets of permissions, and who may change them.

No actor can raise their own privileges. An actor can add to a role, or remove from it, only permissions that the actor
has, and cannot change a role of a user who may do more. `RoleAssignments` says who may assign a role. The role of
administrators always allows everything, so that no permission becomes unreachable.

Every change of roles or permissions locks the role of administrators first. So changes run one after the other, and a
change never uses a role or permission that another change has just deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backend.access.authority import reload_actor
from backend.audit import audit
from database.engine import Database
from database.repositories import Db
from database.roles import PermissionRow, Role
from models.admin.roles import MOST_PERMISSIONS, PermissionResponse, RoleResponse
from models.context.audit import Actor, Event
from models.errors import (
    BuiltIn,
    InsufficientScope,
    PermissionExists,
    PermissionNotFound,
    RoleExists,
    RoleNotFound,
    TooManyPermissions,
    UnknownPermission,
)
from models.values.permission import ADMIN_ROLE, USER_ROLE, Permission
from redis_tools.user_cache import UserCache

_BUILT_IN_ROLES = (ADMIN_ROLE, USER_ROLE)
_BUILT_IN_PERMISSIONS = frozenset(Permission)


def ensure_own_permissions(actor: Actor, permissions: Collection[str]) -> None:
    """Refuse to grant or withdraw a permission that the actor does not have.

    Raises:
        InsufficientScope: the actor lacks one of the permissions.
    """
    if not actor.permissions.issuperset(permissions):
        raise InsufficientScope("This role allows more than you may do yourself.")


async def _ensure_holders_outranked(db: Db, actor: Actor, name: str) -> None:
    """Refuse to change a role of a user who may do more than the actor: the change would reach that user.

    Raises:
        InsufficientScope: a user with the role has a permission that the actor lacks.
    """
    if await db.roles.has_holders_beyond(name, actor.permissions):
        raise InsufficientScope("A user who has this role may do more than you.")


@dataclass(frozen=True, slots=True)
class RoleService:
    """Lists, creates, updates and deletes roles and permissions.

    Each method raises `Unavailable` while a server that it needs cannot be reached.
    """

    database: Database
    user_cache: UserCache

    async def list_roles(self) -> list[RoleResponse]:
        """Return every role, sorted by name."""
        async with self.database.statement() as db:
            return [_to_role(role) for role in await db.roles.list()]

    async def get(self, name: str) -> RoleResponse:
        """Return the role of that name.

        Raises:
            RoleNotFound: there is none of that name.
        """
        async with self.database.statement() as db:
            role = await db.roles.find(name)
        if role is None:
            raise RoleNotFound
        return _to_role(role)

    async def create(self, actor: Actor, name: str, description: str, permissions: Sequence[str]) -> RoleResponse:
        """Create a role; no user has it yet.

        Raises:
            RoleExists: there is one of that name.
            UnknownPermission: one of the permissions does not exist.
            InsufficientScope: it would allow more than the actor may do.
        """
        allowed = sorted(set(permissions))
        async with self._in_turn(actor) as (db, acting):
            if not await db.roles.create(name, description):
                raise RoleExists
            await _allow(db, acting, name, allowed)
            await audit(db, Event.ROLE_CREATED, acting, role=name, permissions=allowed)
        return _to_role(Role(name, description, tuple(allowed)))

    async def update(
        self, actor: Actor, name: str, description: str | None, permissions: Sequence[str] | None
    ) -> RoleResponse:
        """Replace the description, the permissions or both, effective from the next request of each user who has it.

        Raises:
            RoleNotFound: there is none of that name.
            BuiltIn: it is the role of administrators, which allows everything.
            UnknownPermission: one of the permissions does not exist.
            InsufficientScope: it allows, or would allow, more than the actor may do.
        """
        async with self._changing_roles(actor) as (db, acting):
            role = await _locked(db, acting, name)
            if name == ADMIN_ROLE:
                raise BuiltIn("Administrators may do everything, and always will.")
            await _ensure_holders_outranked(db, acting, name)
            after = Role(
                name,
                role.description if description is None else description,
                role.permissions if permissions is None else tuple(sorted(set(permissions))),
            )
            await db.roles.update_description(name, after.description)
            await _allow(db, acting, name, after.permissions)
            given, taken = set(after.permissions), set(role.permissions)
            await audit(
                db, Event.ROLE_CHANGED, acting, role=name, given=sorted(given - taken), taken=sorted(taken - given)
            )
        return _to_role(after)

    async def delete(self, actor: Actor, name: str) -> None:
        """Delete a role, and revoke it from every user who has it.

        Raises:
            RoleNotFound: there is none of that name.
            BuiltIn: the role is part of the service.
            InsufficientScope: it allows more than the actor may do.
        """
        if name in _BUILT_IN_ROLES:
            raise BuiltIn
        async with self._changing_roles(actor) as (db, acting):
            await _locked(db, acting, name)
            await _ensure_holders_outranked(db, acting, name)
            await db.roles.delete(name)
            await audit(db, Event.ROLE_DELETED, acting, role=name)

    async def list_permissions(self) -> list[PermissionResponse]:
        """Return every permission, sorted by name."""
        async with self.database.statement() as db:
            return [_to_permission(permission) for permission in await db.roles.list_permissions()]

    async def create_permission(self, actor: Actor, name: str, description: str) -> PermissionResponse:
        """Create a permission that the operator's other services can require; administrators have it at once.

        Raises:
            PermissionExists: there is one of that name.
            TooManyPermissions: with one more, an administrator's token would grow too long.
        """
        async with self._changing_roles(actor) as (db, acting):
            if await db.roles.permissions_exist([name]):
                raise PermissionExists
            if not await db.roles.create_permission(name, description, limit=MOST_PERMISSIONS):
                raise TooManyPermissions
            await audit(db, Event.PERMISSION_CREATED, acting, permission=name)
        return _to_permission(PermissionRow(name, description))

    async def update_permission(self, actor: Actor, name: str, description: str) -> PermissionResponse:
        """Replace the description.

        Raises:
            PermissionNotFound: there is none of that name.
            InsufficientScope: the actor does not have the permission.
        """
        async with self._in_turn(actor) as (db, acting):
            if not await db.roles.update_permission(name, description):
                raise PermissionNotFound
            ensure_own_permissions(acting, [name])
            await audit(db, Event.PERMISSION_CHANGED, acting, permission=name)
        return _to_permission(PermissionRow(name, description))

    async def delete_permission(self, actor: Actor, name: str) -> None:
        """Delete a permission, and withdraw it from every role that allows it.

        Raises:
            PermissionNotFound: there is none of that name.
            BuiltIn: the service itself requires it.
            InsufficientScope: the actor is no administrator.
        """
        if name in _BUILT_IN_PERMISSIONS:
            raise BuiltIn
        async with self._changing_roles(actor) as (db, acting):
            if not await db.roles.permissions_exist([name]):
                raise PermissionNotFound
            # Every administrator has the permission, so that only an administrator may withdraw it from the others.
            ensure_own_permissions(acting, await db.roles.list_permission_names())
            await db.roles.delete_permission(name)
            await audit(db, Event.PERMISSION_DELETED, acting, permission=name)

    @asynccontextmanager
    async def _changing_roles(self, actor: Actor) -> AsyncIterator[tuple[Db, Actor]]:
        """Like `_in_turn`, for a change of what roles allow: every process sees it once the block is left."""
        async with self.user_cache.invalidating_roles(), self._in_turn(actor) as turn:
            yield turn

    @asynccontextmanager
    async def _in_turn(self, actor: Actor) -> AsyncIterator[tuple[Db, Actor]]:
        """Run one transaction after the other, with the actor's privileges as they are once its turn has come."""
        async with self.database.transaction() as db:
            await db.roles.find_for_update(ADMIN_ROLE)
            yield db, await reload_actor(db, actor, Permission.ROLE_WRITE)


async def _locked(db: Db, actor: Actor, name: str) -> Role:
    role = await db.roles.find_for_update(name)
    if role is None:
        raise RoleNotFound
    ensure_own_permissions(actor, role.permissions)
    return role


async def _allow(db: Db, actor: Actor, name: str, permissions: Sequence[str]) -> None:
    # Before the actor's own permissions: even an administrator lacks one that does not exist, and has to read why.
    if not await db.roles.permissions_exist(permissions):
        raise UnknownPermission
    ensure_own_permissions(actor, permissions)
    await db.roles.set_permissions(name, permissions)


def _to_role(role: Role) -> RoleResponse:
    return RoleResponse(
        name=role.name,
        description=role.description,
        permissions=list(role.permissions),
        built_in=role.name in _BUILT_IN_ROLES,
    )


def _to_permission(permission: PermissionRow) -> PermissionResponse:
    return PermissionResponse(
        name=permission.name, description=permission.description, built_in=permission.name in _BUILT_IN_PERMISSIONS
    )
