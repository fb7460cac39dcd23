"""Searches accounts for administrators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, exists, or_

from database.repository import Repository
from database.tables import user_roles, users
from database.users import WITH_ACCESS, UserWithAccess, user_with_access


@dataclass(frozen=True, slots=True)
class UserSearch:
    """Which accounts are wanted; what is None does not matter."""

    beginning: str | None = None
    """Of login or address, both in canonical form."""
    user_id: UUID | None = None
    """The account of this id as well."""
    role: str | None = None
    blocked: bool | None = None
    before: UUID | None = None
    """Accounts older than the one of this id: the next page."""


def _prefix(text: str) -> str:
    """The text as it stands, and anything behind it: in a pattern, some signs stand for others."""
    for sign in "\\%_":
        text = text.replace(sign, f"\\{sign}")
    return f"{text}%"


class UserSearchRepo(Repository):
    """Searches accounts."""

    async def list(self, search: UserSearch, limit: int) -> Sequence[UserWithAccess]:
        """The newest accounts first. There is no count of all: that would cost a look at each of them."""
        wanted = WITH_ACCESS.order_by(users.c.id.desc()).limit(limit)
        if search.beginning is not None:
            pattern = _prefix(search.beginning)
            found: list[ColumnElement[bool]] = [users.c.login_canonical.like(pattern), users.c.email.like(pattern)]
            if search.user_id is not None:
                found.append(users.c.id == search.user_id)
            wanted = wanted.where(or_(*found))
        if search.role is not None:
            wanted = wanted.where(exists().where(user_roles.c.user_id == users.c.id, user_roles.c.role == search.role))
        if search.blocked is not None:
            wanted = wanted.where(users.c.blocked_at.is_not(None) if search.blocked else users.c.blocked_at.is_(None))
        if search.before is not None:
            wanted = wanted.where(users.c.id < search.before)
        return [user_with_access(row) for row in (await self._connection.execute(wanted)).mappings()]
