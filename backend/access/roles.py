"""Roles: named sets of permissions, which are data, and who may change them.

Nobody can raise their own privileges: an actor neither adds to a role nor removes from one what the actor may not do,
and changes no role of a user who may do more; `RoleAssignments` says who may assign one. The role of administrators
always allows everything, so that no permission becomes unreachable.

Every change of roles or permissions locks the role of administrators first, so that changes run one after the other
and none finds gone what it has just read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backend.access.authority import reload_actor
from backend.audit import audit
from backend.sessions.user_cache import UserCache
from database.engine import Database, Db
from database.roles import PermissionRow, Role
from models.admin.roles import MOST_PERMISSIONS, PermissionShown, RoleShown
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

_BUILT_IN_ROLES = (ADMIN_ROLE, USER_ROLE)
_BUILT_IN_PERMISSIONS = frozenset(Permission)


def refuse_more_than_own(actor: Actor, permissions: Collection[str]) -> None:
    """Nobody hands out, or takes from others, what he may not do himself.

    Raises:
        InsufficientScope: one of the permissions is not the actor's.
    """
    if not actor.permissions.issuperset(permissions):
        raise InsufficientScope("This role allows more than you may do yourself.")


async def _refuse_what_the_mightier_have(db: Db, actor: Actor, name: str) -> None:
    """A change of a role is felt by everybody who has it; nobody does so to somebody who may do more.

    Raises:
        InsufficientScope: somebody who has the role may do what the actor may not.
    """
    if await db.roles.has_members_beyond(name, actor.permissions):
        raise InsufficientScope("Somebody who has this role may do more than you.")


@dataclass(frozen=True, slots=True)
class RoleService:
    """Lists, makes, changes and deletes roles and permissions."""

    database: Database
    user_cache: UserCache

    async def list_roles(self) -> list[RoleShown]:
        """Every role, by name.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with self.database.statement() as db:
            return [_shown(role) for role in await db.roles.all()]

    async def get(self, name: str) -> RoleShown:
        """One role.

        Raises:
            RoleNotFound: there is none of that name.
            Unavailable: PostgreSQL is away.
        """
        async with self.database.statement() as db:
            role = await db.roles.one(name)
        if role is None:
            raise RoleNotFound
        return _shown(role)

    async def create(self, actor: Actor, name: str, description: str, permissions: Sequence[str]) -> RoleShown:
        """A new role; nobody has it yet.

        Raises:
            RoleExists: there is one of that name.
            UnknownPermission: one of the permissions does not exist.
            InsufficientScope: it would allow more than the actor may do.
            Unavailable: PostgreSQL is away.
        """
        allowed = sorted(set(permissions))
        async with self._in_turn(actor) as (db, acting):
            if not await db.roles.add(name, description):
                raise RoleExists
            await _allow(db, acting, name, allowed)
            await audit(db, Event.ROLE_CREATED, acting, role=name, permissions=allowed)
        return _shown(Role(name, description, tuple(allowed)))

    async def update(
        self, actor: Actor, name: str, description: str | None, permissions: Sequence[str] | None
    ) -> RoleShown:
        """Another description, other permissions, or both; whoever has the role may do so from his next request on.

        Raises:
            RoleNotFound: there is none of that name.
            Shipped: it is the role of administrators, which allows everything.
            UnknownPermission: one of the permissions does not exist.
            InsufficientScope: it allows, or would allow, more than the actor may do.
            Unavailable: a server is away.
        """
        async with self._changing_roles(actor) as (db, acting):
            role = await _locked(db, acting, name)
            if name == ADMIN_ROLE:
                raise BuiltIn("Administrators may do everything, and always will.")
            await _refuse_what_the_mightier_have(db, acting, name)
            after = Role(
                name,
                role.description if description is None else description,
                role.permissions if permissions is None else tuple(sorted(set(permissions))),
            )
            await db.roles.describe(name, after.description)
            await _allow(db, acting, name, after.permissions)
            given, taken = set(after.permissions), set(role.permissions)
            await audit(
                db,
                Event.ROLE_CHANGED,
                acting,
                role=name,
                given=sorted(given - taken),
                taken=sorted(taken - given),
            )
        return _shown(after)

    async def delete(self, actor: Actor, name: str) -> None:
        """The role is gone, from everybody who had it.

        Raises:
            RoleNotFound: there is none of that name.
            Shipped: the service brings it along.
            InsufficientScope: it allows more than the actor may do.
            Unavailable: a server is away.
        """
        if name in _BUILT_IN_ROLES:
            raise BuiltIn
        async with self._changing_roles(actor) as (db, acting):
            await _locked(db, acting, name)
            await _refuse_what_the_mightier_have(db, acting, name)
            await db.roles.delete(name)
            await audit(db, Event.ROLE_DELETED, acting, role=name)

    async def list_permissions(self) -> list[PermissionShown]:
        """Every permission, by name.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with self.database.statement() as db:
            return [_permission_shown(permission) for permission in await db.roles.permissions()]

    async def create_permission(self, actor: Actor, name: str, description: str) -> PermissionShown:
        """A permission for a service of one's own to ask for; administrators have it at once.

        Raises:
            PermissionExists: there is one of that name.
            TooManyPermissions: there are so many that an administrator's token would grow too long.
            Unavailable: a server is away.
        """
        async with self._changing_roles(actor) as (db, acting):
            if await db.roles.are_known([name]):
                raise PermissionExists
            if not await db.roles.add_permission(name, description, most=MOST_PERMISSIONS):
                raise TooManyPermissions
            await audit(db, Event.PERMISSION_CREATED, acting, permission=name)
        return _permission_shown(PermissionRow(name, description))

    async def update_permission(self, actor: Actor, name: str, description: str) -> PermissionShown:
        """Another description.

        Raises:
            PermissionNotFound: there is none of that name.
            Unavailable: PostgreSQL is away.
        """
        async with self._in_turn(actor) as (db, acting):
            if not await db.roles.describe_permission(name, description):
                raise PermissionNotFound
            refuse_more_than_own(acting, [name])
            await audit(db, Event.PERMISSION_CHANGED, acting, permission=name)
        return _permission_shown(PermissionRow(name, description))

    async def delete_permission(self, actor: Actor, name: str) -> None:
        """The permission is gone, from every role that allowed it.

        Raises:
            PermissionNotFound: there is none of that name.
            Shipped: the service itself asks for it.
            InsufficientScope: the actor has it not.
            Unavailable: a server is away.
        """
        if name in _BUILT_IN_PERMISSIONS:
            raise BuiltIn
        async with self._changing_roles(actor) as (db, acting):
            if not await db.roles.are_known([name]):
                raise PermissionNotFound
            # Administrators have it, as they have everything: only one of them takes it from all the others.
            refuse_more_than_own(acting, await db.roles.all_permissions())
            await db.roles.delete_permission(name)
            await audit(db, Event.PERMISSION_DELETED, acting, permission=name)

    @asynccontextmanager
    async def _changing_roles(self, actor: Actor) -> AsyncIterator[tuple[Db, Actor]]:
        """Like `_in_turn`, for what changes what roles allow: everybody sees it once the block is left."""
        async with self.user_cache.changing_roles(), self._in_turn(actor) as turn:
            yield turn

    @asynccontextmanager
    async def _in_turn(self, actor: Actor) -> AsyncIterator[tuple[Db, Actor]]:
        """One transaction after the other, and the actor as he is once it is his turn."""
        async with self.database.transaction() as db:
            await db.roles.locked(ADMIN_ROLE)
            yield db, await reload_actor(db, actor, Permission.ROLE_WRITE)


async def _locked(db: Db, actor: Actor, name: str) -> Role:
    role = await db.roles.locked(name)
    if role is None:
        raise RoleNotFound
    refuse_more_than_own(actor, role.permissions)
    return role


async def _allow(db: Db, actor: Actor, name: str, permissions: Sequence[str]) -> None:
    # Looked at first: an administrator has every permission but one that does not exist, and is to read why.
    if not await db.roles.are_known(permissions):
        raise UnknownPermission
    refuse_more_than_own(actor, permissions)
    await db.roles.allow(name, permissions)


def _shown(role: Role) -> RoleShown:
    return RoleShown(
        name=role.name,
        description=role.description,
        permissions=list(role.permissions),
        built_in=role.name in _BUILT_IN_ROLES,
    )


def _permission_shown(permission: PermissionRow) -> PermissionShown:
    return PermissionShown(
        name=permission.name, description=permission.description, built_in=permission.name in _BUILT_IN_PERMISSIONS
    )
