"""Searches accounts for administrators."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, exists, or_

from database.repository import Repository
from database.tables import user_roles, users
from database.users import WITH_ACCESS, UserWithAccess, user_with_access
from models.admin.users import UserQuery


def _pattern(text: str) -> str:
    """Return the pattern of the text as it stands, with anything behind it: some signs stand for others."""
    for sign in "\\%_":
        text = text.replace(sign, f"\\{sign}")
    return f"{text}%"


class UserSearchRepo(Repository):
    """Searches accounts."""

    async def list(self, query: UserQuery, prefix: str | None, user_id: UUID | None) -> Sequence[UserWithAccess]:
        """Return the matching accounts, newest first, and one more than fits on the page if there is one.

        ``prefix``, of login or address in canonical form, and ``user_id`` are what ``query.q`` may mean.
        """
        wanted = WITH_ACCESS.order_by(users.c.id.desc()).limit(query.limit + 1)
        if prefix is not None:
            pattern = _pattern(prefix)
            found: list[ColumnElement[bool]] = [users.c.login_canonical.like(pattern), users.c.email.like(pattern)]
            if user_id is not None:
                found.append(users.c.id == user_id)
            wanted = wanted.where(or_(*found))
        if query.role is not None:
            wanted = wanted.where(exists().where(user_roles.c.user_id == users.c.id, user_roles.c.role == query.role))
        if query.blocked is not None:
            wanted = wanted.where(users.c.blocked_at.is_not(None) if query.blocked else users.c.blocked_at.is_(None))
        if query.cursor is not None:
            wanted = wanted.where(users.c.id < query.cursor)
        return [user_with_access(row) for row in (await self._connection.execute(wanted)).mappings()]
