"""Administrators: who holds the role that may do everything, counted so that one always remains."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import roles, user_roles, users
from models.values.permission import ADMIN_ROLE

# The weaker lock is enough: it keeps out others who take it, and lets those pass who only give the role to somebody.
_LOCK = select(roles.c.name).where(roles.c.name == ADMIN_ROLE).with_for_update(key_share=True)
_COUNT = (
    select(func.count())
    .select_from(user_roles.join(users, users.c.id == user_roles.c.user_id))
    .where(user_roles.c.role == ADMIN_ROLE, users.c.blocked_at.is_(None))
)


class AdministratorRepo:
    """Counts administrators while nobody else makes them fewer."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """Wait for everybody who makes administrators fewer, and keep others waiting until this transaction ends.

        Whoever locks a user's row as well has done so before: in this order no two wait for each other.
        """
        await self._connection.execute(_LOCK)

    async def count(self) -> int:
        """How many there are who are not blocked."""
        return int((await self._connection.execute(_COUNT)).scalar_one())
