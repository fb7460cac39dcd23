"""Roles, permissions, and who has which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, delete, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, array, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from database.tables import permissions, role_permissions, roles, user_roles
from models.values.permission import ADMIN_ROLE


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions."""

    name: str
    description: str
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermissionRow:
    """One thing that may be allowed."""

    name: str
    description: str


_ALLOWED = select(
    func.array_agg(aggregate_order_by(role_permissions.c.permission, role_permissions.c.permission))
).where(role_permissions.c.role == roles.c.name)
_ALL = select(
    roles,
    func.coalesce(_ALLOWED.scalar_subquery(), array([], type_=Text), type_=ARRAY(Text)).label("permissions"),
).order_by(roles.c.name)
_ONE = _ALL.where(roles.c.name == bindparam("role"))
_LOCK = select(roles.c.name).where(roles.c.name == bindparam("role")).with_for_update(key_share=True)
_ADD = insert(roles).on_conflict_do_nothing().returning(roles.c.name)
_DESCRIBE = update(roles).where(roles.c.name == bindparam("role")).values(description=bindparam("text"))
_CLEAR = delete(role_permissions).where(role_permissions.c.role == bindparam("role"))
_ALLOW = insert(role_permissions).on_conflict_do_nothing()
_DELETE = delete(roles).where(roles.c.name == bindparam("role"))

_PERMISSIONS = select(permissions).order_by(permissions.c.name)
_KNOWN = select(func.count()).where(permissions.c.name.in_(bindparam("names", expanding=True)))
_ALL_PERMISSIONS = select(permissions.c.name)
# Those who may do more are few, and are looked for by the roles that make them so.
_MORE = select(role_permissions.c.role).where(role_permissions.c.permission.not_in(bindparam("mine", expanding=True)))
_OTHERS = user_roles.alias("others")
_HAS_MEMBERS_BEYOND = select(
    exists().where(
        user_roles.c.role.in_(_MORE),
        _OTHERS.c.user_id == user_roles.c.user_id,
        _OTHERS.c.role == bindparam("role"),
    )
)
_COUNT = select(func.count()).select_from(permissions)
_ADD_PERMISSION = insert(permissions).on_conflict_do_nothing().returning(permissions.c.name)
_DESCRIBE_PERMISSION = (
    update(permissions)
    .where(permissions.c.name == bindparam("permission"))
    .values(description=bindparam("text"))
    .returning(permissions.c.name)
)
_DELETE_PERMISSION = delete(permissions).where(permissions.c.name == bindparam("permission")).returning(literal(1))

_GIVE = insert(user_roles).on_conflict_do_nothing().returning(user_roles.c.role)
_TAKE = (
    delete(user_roles)
    .where(user_roles.c.user_id == bindparam("user"), user_roles.c.role == bindparam("role"))
    .returning(user_roles.c.role)
)


def _role(row: Row[Any]) -> Role:
    return Role(row.name, row.description, tuple(row.permissions))


class RoleRepo:
    """Reads and writes roles and permissions."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self) -> Sequence[Role]:
        """Every role, by name."""
        return [_role(row) for row in await self._connection.execute(_ALL)]

    async def find(self, name: str) -> Role | None:
        """The role of that name."""
        row = (await self._connection.execute(_ONE, {"role": name})).one_or_none()
        return _role(row) if row else None

    async def find_for_update(self, name: str) -> Role | None:
        """The same, as it is once nobody else changes it; nobody does before this transaction ends."""
        locked = await self._connection.execute(_LOCK, {"role": name})
        return await self.find(name) if locked.one_or_none() else None

    async def create(self, name: str, description: str) -> bool:
        """A role that allows nothing yet; False when there is one of that name."""
        added = await self._connection.execute(_ADD, {"name": name, "description": description})
        return added.one_or_none() is not None

    async def update_description(self, name: str, description: str) -> None:
        """Another description."""
        await self._connection.execute(_DESCRIBE, {"role": name, "text": description})

    async def set_permissions(self, name: str, allowed: Sequence[str]) -> None:
        """The role allows this, and nothing else from now on. The permissions have to be known."""
        await self._connection.execute(_CLEAR, {"role": name})
        if allowed:
            rows = [{"role": name, "permission": permission} for permission in allowed]
            await self._connection.execute(_ALLOW, rows)

    async def delete(self, name: str) -> None:
        """The role is gone, from everybody who had it."""
        await self._connection.execute(_DELETE, {"role": name})

    async def list_permissions(self) -> Sequence[PermissionRow]:
        """Every permission, by name."""
        return [PermissionRow(*row) for row in await self._connection.execute(_PERMISSIONS)]

    async def permissions_exist(self, names: Sequence[str]) -> bool:
        """Whether each of them, named once, is a permission."""
        return bool(await self._connection.scalar(_KNOWN, {"names": names}) == len(names))

    async def list_permission_names(self) -> Sequence[str]:
        """The name of every permission."""
        return list(await self._connection.scalars(_ALL_PERMISSIONS))

    async def has_holders_beyond(self, role: str, mine: Collection[str]) -> bool:
        """Whether somebody who has the role may do, by any role, what is not among these permissions."""
        found = await self._connection.execute(_HAS_MEMBERS_BEYOND, {"role": role, "mine": sorted(mine)})
        return bool(found.scalar_one())

    async def create_permission(self, name: str, description: str, *, limit: int) -> bool:
        """A permission, which administrators have from the start; False when there is one of that name, or too many.

        The role of administrators has to be locked, so that two do not count the same permissions.
        """
        if (await self._connection.execute(_COUNT)).scalar_one() >= limit:
            return False
        added = await self._connection.execute(_ADD_PERMISSION, {"name": name, "description": description})
        if added.one_or_none() is None:
            return False
        await self._connection.execute(_ALLOW, {"role": ADMIN_ROLE, "permission": name})
        return True

    async def update_permission(self, name: str, description: str) -> bool:
        """Another description; False when there is no such permission."""
        done = await self._connection.execute(_DESCRIBE_PERMISSION, {"permission": name, "text": description})
        return done.one_or_none() is not None

    async def delete_permission(self, name: str) -> bool:
        """The permission is gone, from every role that allowed it; False when there is no such one."""
        gone = await self._connection.execute(_DELETE_PERMISSION, {"permission": name})
        return gone.one_or_none() is not None

    async def assign(self, user_id: UUID, role: str) -> bool:
        """The user has the role from now on; False when he had it."""
        given = await self._connection.execute(_GIVE, {"user_id": user_id, "role": role})
        return given.one_or_none() is not None

    async def revoke(self, user_id: UUID, role: str) -> bool:
        """The user has the role no longer; False when he had it not."""
        taken = await self._connection.execute(_TAKE, {"user": user_id, "role": role})
        return taken.one_or_none() is not None
