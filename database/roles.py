"""Roles, permissions, and which user has which role."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, delete, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from database.repository import Repository, array_of
from database.tables import permissions, role_permissions, roles, user_roles, users
from models.values.permission import ADMIN_ROLE


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions."""

    name: str
    description: str
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermissionRow:
    """A permission and its description."""

    name: str
    description: str


_GRANTED = (
    select(role_permissions.c.permission)
    .where(role_permissions.c.role == roles.c.name)
    .order_by(role_permissions.c.permission)
)
_LIST = select(roles, array_of(_GRANTED).label("permissions")).order_by(roles.c.name)
_FIND = _LIST.where(roles.c.name == bindparam("role"))
# The weaker lock is enough: it keeps out others that take it, and does not block an assignment of the role.
_LOCK = select(roles.c.name).where(roles.c.name == bindparam("role")).with_for_update(key_share=True)
_CREATE = insert(roles).on_conflict_do_nothing().returning(roles.c.name)
_UPDATE = update(roles).where(roles.c.name == bindparam("role")).values(description=bindparam("text"))
_CLEAR = delete(role_permissions).where(role_permissions.c.role == bindparam("role"))
_GRANT = insert(role_permissions).on_conflict_do_nothing()
_DELETE = delete(roles).where(roles.c.name == bindparam("role"))

_LIST_PERMISSIONS = select(permissions).order_by(permissions.c.name)
_COUNT_NAMED = select(func.count()).where(permissions.c.name.in_(bindparam("names", expanding=True)))
_LIST_NAMES = select(permissions.c.name)
# Few users have more permissions than an administrator of users: the search begins at the roles that grant them.
_BEYOND = role_permissions.c.permission.not_in(bindparam("mine", expanding=True))
_OTHERS = user_roles.alias("others")
_HAS_HOLDERS_BEYOND = select(
    exists().where(
        user_roles.c.role.in_(select(role_permissions.c.role).where(_BEYOND)),
        _OTHERS.c.user_id == user_roles.c.user_id,
        _OTHERS.c.role == bindparam("role"),
    )
)
_COUNT_PERMISSIONS = select(func.count()).select_from(permissions)
_COUNT_ADMINS = (
    select(func.count())
    .select_from(user_roles.join(users, users.c.id == user_roles.c.user_id))
    .where(user_roles.c.role == ADMIN_ROLE, users.c.blocked_at.is_(None))
)
_CREATE_PERMISSION = insert(permissions).on_conflict_do_nothing().returning(permissions.c.name)
_UPDATE_PERMISSION = (
    update(permissions)
    .where(permissions.c.name == bindparam("permission"))
    .values(description=bindparam("text"))
    .returning(permissions.c.name)
)
_DELETE_PERMISSION = delete(permissions).where(permissions.c.name == bindparam("permission")).returning(literal(1))

_ASSIGN = insert(user_roles).on_conflict_do_nothing().returning(user_roles.c.role)
_REVOKE = (
    delete(user_roles)
    .where(user_roles.c.user_id == bindparam("user"), user_roles.c.role == bindparam("role"))
    .returning(user_roles.c.role)
)


def _role(row: Row[Any]) -> Role:
    return Role(row.name, row.description, tuple(row.permissions))


class RoleRepo(Repository):
    """Reads and writes roles and permissions."""

    async def list(self) -> Sequence[Role]:
        """Return every role, by name."""
        return [_role(row) for row in await self._connection.execute(_LIST)]

    async def find(self, name: str) -> Role | None:
        """Return the role of that name."""
        row = (await self._connection.execute(_FIND, {"role": name})).one_or_none()
        return _role(row) if row else None

    async def lock(self, name: str) -> bool:
        """Lock the role until this transaction ends; return whether it exists."""
        return await self._has_row(_LOCK, {"role": name})

    async def find_for_update(self, name: str) -> Role | None:
        """Lock the role and return it as it is then."""
        return await self.find(name) if await self.lock(name) else None

    async def create(self, name: str, description: str) -> bool:
        """Create a role without permissions; return False if the name is taken."""
        return await self._has_row(_CREATE, {"name": name, "description": description})

    async def update_description(self, name: str, description: str) -> None:
        """Change the description of a role."""
        await self._connection.execute(_UPDATE, {"role": name, "text": description})

    async def set_permissions(self, name: str, granted: Sequence[str]) -> None:
        """Replace the permissions of a role; each has to exist."""
        await self._connection.execute(_CLEAR, {"role": name})
        if granted:
            rows = [{"role": name, "permission": permission} for permission in granted]
            await self._connection.execute(_GRANT, rows)

    async def delete(self, name: str) -> None:
        """Delete a role, and take it from every user."""
        await self._connection.execute(_DELETE, {"role": name})

    async def list_permissions(self) -> Sequence[PermissionRow]:
        """Return every permission, by name."""
        return [PermissionRow(*row) for row in await self._connection.execute(_LIST_PERMISSIONS)]

    async def permissions_exist(self, names: Sequence[str]) -> bool:
        """Return whether every name is a permission; no name may be given twice."""
        return bool(await self._connection.scalar(_COUNT_NAMED, {"names": names}) == len(names))

    async def list_permission_names(self) -> Sequence[str]:
        """Return the name of every permission."""
        return list(await self._connection.scalars(_LIST_NAMES))

    async def has_holders_beyond(self, role: str, mine: Collection[str]) -> bool:
        """Return whether a user with the role has, by any role, a permission that is not among ``mine``."""
        found = await self._connection.execute(_HAS_HOLDERS_BEYOND, {"role": role, "mine": sorted(mine)})
        return bool(found.scalar_one())

    async def create_permission(self, name: str, description: str, *, limit: int) -> bool:
        """Create a permission and grant it to administrators; return False if the name is taken, or at the limit.

        The role of administrators has to be locked, so that two transactions do not count the same permissions.
        """
        if (await self._connection.execute(_COUNT_PERMISSIONS)).scalar_one() >= limit:
            return False
        created = await self._connection.execute(_CREATE_PERMISSION, {"name": name, "description": description})
        if created.one_or_none() is None:
            return False
        await self._connection.execute(_GRANT, {"role": ADMIN_ROLE, "permission": name})
        return True

    async def update_permission(self, name: str, description: str) -> bool:
        """Change the description of a permission; return False if there is none of that name."""
        return await self._has_row(_UPDATE_PERMISSION, {"permission": name, "text": description})

    async def delete_permission(self, name: str) -> bool:
        """Delete a permission, and take it from every role; return False if there is none of that name."""
        return await self._has_row(_DELETE_PERMISSION, {"permission": name})

    async def assign(self, user_id: UUID, role: str) -> bool:
        """Assign a role to a user; return False if the user has it already."""
        return await self._has_row(_ASSIGN, {"user_id": user_id, "role": role})

    async def revoke(self, user_id: UUID, role: str) -> bool:
        """Revoke a role of a user; return False if the user does not have it."""
        return await self._has_row(_REVOKE, {"user": user_id, "role": role})

    async def count_admins(self) -> int:
        """Return how many administrators are not blocked.

        The role of administrators has to be locked, so that no two transactions count the same administrators. A
        transaction that locks a user's row as well locks that row first: in one order none waits for another.
        """
        return int((await self._connection.execute(_COUNT_ADMINS)).scalar_one())
