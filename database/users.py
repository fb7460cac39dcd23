"""Accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    bindparam,
    delete,
    exists,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from database.repository import Repository, array_of
from database.tables import role_permissions, sessions, user_roles, users
from models.values.locale import Locale
from models.values.login import canonical_login


@dataclass(frozen=True, slots=True)
class User:
    """A row of users."""

    id: UUID
    email: str
    login: str
    password_hash: str
    locale: Locale
    version: int
    blocked_at: datetime | None
    created_at: datetime

    @property
    def blocked(self) -> bool:
        """Whether the owner may not log in."""
        return self.blocked_at is not None


_COLUMNS = [field.name for field in fields(User)]


@dataclass(frozen=True, slots=True)
class UserWithAccess:
    """An account with its roles and their permissions."""

    user: User
    roles: tuple[str, ...]
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be created."""

    id: UUID
    email: str
    login: str
    password_hash: str
    locale: Locale


ROLES = array_of(select(user_roles.c.role).where(user_roles.c.user_id == users.c.id).order_by(user_roles.c.role)).label(
    "roles"
)
_PERMISSIONS = (
    select(role_permissions.c.permission)
    .distinct()
    .join(user_roles, role_permissions.c.role == user_roles.c.role)
    .where(user_roles.c.user_id == users.c.id)
    .order_by(role_permissions.c.permission)
)
WITH_ACCESS = select(users, ROLES, array_of(_PERMISSIONS).label("permissions"))


# Statements are built once, here: to build one takes longer than PostgreSQL takes to answer it.
_FIND_BY_ID = select(users).where(users.c.id == bindparam("id"))
_FIND_BY_EMAIL = select(users).where(users.c.email == bindparam("email"))

# A log-in always reads one row, a placeholder if there is no account: to fetch, decode and convert a row takes 50 us,
# which would tell an attacker who has an account.
_PLACEHOLDER: dict[str, object] = {
    "id": UUID(int=0),
    "email": "nobody@example.com",
    "login": "nobody",
    "password_hash": "pbkdf2_sha256$600000$0000000000000000000000$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "locale": Locale.EN.value,
    "version": 1,
    "blocked_at": None,
    "created_at": datetime(2000, 1, 1, tzinfo=UTC),
}
_ONE = select(literal_column("1").label("one")).subquery()


def _user_or_placeholder(found: ColumnElement[bool]) -> Select[Any]:
    columns = (
        func.coalesce(users.c[name], literal(value, users.c[name].type)).label(name)
        for name, value in _PLACEHOLDER.items()
    )
    return select(*columns).select_from(_ONE.outerjoin(users, found))


_FIND_OR_PLACEHOLDER_BY_EMAIL = _user_or_placeholder(users.c.email == bindparam("identifier"))
_FIND_OR_PLACEHOLDER_BY_LOGIN = _user_or_placeholder(users.c.login_canonical == bindparam("identifier"))
_FIND_WITH_ACCESS = WITH_ACCESS.where(users.c.id == bindparam("id"))
_LOCK = select(users.c.id).where(users.c.id == bindparam("id")).with_for_update(key_share=True)
_SIDS = select(sessions.c.id).where(sessions.c.user_id == users.c.id, sessions.c.ends_at > func.now())
_FIND_WITH_SESSIONS = _FIND_WITH_ACCESS.add_columns(array_of(_SIDS).label("sids"))
_CREATE = insert(users).on_conflict_do_nothing().returning(users.c.id)
_CREATE_ROLE = insert(user_roles)
_UPDATE = update(users).where(users.c.id == bindparam("user")).returning(users.c.id)
_NEXT_VERSION = users.c.version + 1
_SET_PASSWORD = _UPDATE.values(password_hash=bindparam("new"), version=_NEXT_VERSION)
_UPGRADE_HASH = _UPDATE.where(users.c.password_hash == bindparam("old")).values(password_hash=bindparam("new"))
_BLOCK = _UPDATE.where(users.c.blocked_at.is_(None)).values(blocked_at=func.now(), version=_NEXT_VERSION)
# Flows that were begun while the account was blocked end, too.
_UNBLOCK = _UPDATE.where(users.c.blocked_at.is_not(None)).values(blocked_at=None, version=_NEXT_VERSION)
# When a unique index refuses a name, PostgreSQL writes the name into its log: a taken name is excluded before.
_another = users.alias("another")
_SET_EMAIL = _UPDATE.where(~exists().where(_another.c.email == bindparam("new"), _another.c.id != users.c.id)).values(
    email=bindparam("new"), version=_NEXT_VERSION
)
_SET_LOGIN = _UPDATE.where(
    ~exists().where(_another.c.login_canonical == bindparam("canonical"), _another.c.id != users.c.id)
).values(login=bindparam("new"), login_canonical=bindparam("canonical"))
_SET_LOCALE = _UPDATE.where(users.c.locale != bindparam("new")).values(locale=bindparam("new"))
_DELETE = delete(users).where(users.c.id == bindparam("user"))


def _user(row: Mapping[Any, Any]) -> User:
    return User(**{name: row[name] for name in _COLUMNS} | {"locale": Locale(row["locale"])})


def user_with_access(row: Mapping[Any, Any]) -> UserWithAccess:
    """Return the account of a row of `WITH_ACCESS`."""
    return UserWithAccess(_user(row), tuple(row["roles"]), tuple(row["permissions"]))


class UserRepo(Repository):
    """Reads and writes accounts. E-mail addresses are in canonical form."""

    async def _one(self, query: Select[Any], **values: object) -> User | None:
        row = (await self._connection.execute(query, values)).mappings().one_or_none()
        return _user(row) if row else None

    async def find_by_id(self, user_id: UUID) -> User | None:
        """Return the account of that id."""
        return await self._one(_FIND_BY_ID, id=user_id)

    async def find_by_email(self, email: str) -> User | None:
        """Return the account of that address."""
        return await self._one(_FIND_BY_EMAIL, email=email)

    async def find_by_identifier(self, identifier: str) -> User | None:
        """Return the account of that login or e-mail address; only an address contains an @.

        The work is the same whether or not there is such an account.
        """
        query = _FIND_OR_PLACEHOLDER_BY_EMAIL if "@" in identifier else _FIND_OR_PLACEHOLDER_BY_LOGIN
        user = await self._one(query, identifier=identifier)
        return user if user and user.id.int else None

    async def find_with_access(self, user_id: UUID) -> UserWithAccess | None:
        """Return the account with its roles and their permissions."""
        row = (await self._connection.execute(_FIND_WITH_ACCESS, {"id": user_id})).mappings().one_or_none()
        return user_with_access(row) if row else None

    async def find_for_update(self, user_id: UUID) -> UserWithAccess | None:
        """Lock the account until this transaction ends, and return it with its roles and their permissions.

        The second statement sees the roles as another transaction has left them while the first waited for its lock.
        """
        locked = await self._connection.execute(_LOCK, {"id": user_id})
        return await self.find_with_access(user_id) if locked.one_or_none() else None

    async def find_with_sessions(self, user_id: UUID) -> tuple[UserWithAccess, list[UUID]] | None:
        """Return the account and the ids of its active sessions: all that a request with an access token needs."""
        row = (await self._connection.execute(_FIND_WITH_SESSIONS, {"id": user_id})).mappings().one_or_none()
        return (user_with_access(row), row["sids"]) if row else None

    async def create(self, new: NewUser, role: str) -> Literal["added", "email_taken", "login_taken"]:
        """Create the account with one role, or return what is taken: the unique indexes decide.

        A conflict waits for the other transaction and does not abort this one: its earlier changes still commit.
        """
        added = await self._connection.execute(_CREATE, {**asdict(new), "login_canonical": canonical_login(new.login)})
        if added.one_or_none():
            await self._connection.execute(_CREATE_ROLE, {"user_id": new.id, "role": role})
            return "added"
        return "email_taken" if await self.find_by_email(new.email) else "login_taken"

    async def set_password(self, user_id: UUID, password_hash: str) -> bool:
        """Set the password and raise the version, which ends earlier flows; return False without such an account."""
        return await self._has_row(_SET_PASSWORD, {"user": user_id, "new": password_hash})

    async def set_email(self, user_id: UUID, email: str) -> bool:
        """Set the address and raise the version, which ends earlier flows; return False if it is taken."""
        return await self._unless_taken(_SET_EMAIL, {"user": user_id, "new": email})

    async def set_login(self, user_id: UUID, login: str) -> bool:
        """Set the login; return False if it is taken."""
        values = {"user": user_id, "new": login, "canonical": canonical_login(login)}
        return await self._unless_taken(_SET_LOGIN, values)

    async def _unless_taken(self, change: Update, values: dict[str, object]) -> bool:
        """Make the change, or leave the transaction as it was; the unique index decides between two at once."""
        try:
            async with self._connection.begin_nested():
                return await self._has_row(change, values)
        except IntegrityError:
            return False

    async def set_locale(self, user_id: UUID, locale: Locale) -> bool:
        """Set the language of mails; return False if it is set already, or there is no such account."""
        return await self._has_row(_SET_LOCALE, {"user": user_id, "new": locale.value})

    async def delete(self, user_id: UUID) -> None:
        """Delete the account with its sessions and its roles."""
        await self._connection.execute(_DELETE, {"user": user_id})

    async def upgrade_hash(self, user_id: UUID, old: str, new: str) -> None:
        """Store the same password hashed at today's cost, unless the password was changed meanwhile."""
        await self._connection.execute(_UPGRADE_HASH, {"user": user_id, "old": old, "new": new})

    async def block(self, user_id: UUID) -> bool:
        """Block the account and raise the version, which ends earlier flows; return False if nothing changes."""
        return await self._has_row(_BLOCK, {"user": user_id})

    async def unblock(self, user_id: UUID) -> bool:
        """Unblock the account and raise the version; return False if nothing changes."""
        return await self._has_row(_UNBLOCK, {"user": user_id})
