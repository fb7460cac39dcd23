"""Sessions: one row a log-in, with the digests of its refresh tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    Uuid,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import array

from database.repository import Repository, delete_batch, interval
from database.tables import sessions


@dataclass(frozen=True, slots=True)
class SessionLife:
    """The lifetime of a session."""

    idle: timedelta
    """Until it ends if it is not refreshed."""
    absolute: timedelta
    """Until it ends in any case."""
    reuse_interval: timedelta
    """How long a replaced refresh token may be presented again."""


@dataclass(frozen=True, slots=True)
class Session:
    """An active session."""

    id: UUID
    user_id: UUID
    user_agent: str
    created_at: datetime
    rotated_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be created."""

    id: UUID
    user_id: UUID
    token: bytes
    """Digest of its first refresh token."""
    user_agent: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """A session, and the state of one refresh token in it."""

    session: Session
    token: bytes
    """Digest of the current refresh token."""
    replaced: Sequence[bytes]
    """Digests of the last few before it, newest first."""
    replaced_for: timedelta | None
    """How long ago the presented token was replaced; None if it is none of these."""


_COLUMNS = [sessions.c[field.name] for field in fields(Session)]
_IS_ACTIVE = sessions.c.ends_at > func.now()


_REMEMBERED = 32
"""Replaced tokens that a session remembers: no client with several tabs refreshes more often in ten seconds."""

_PRESENTED = cast(bindparam("presented"), LargeBinary)


# One statement ends the oldest sessions and creates the new one. The caller has locked the row of the user, so that two
# of them do not count the same rows.
_EVICTED = (
    delete(sessions)
    .where(
        sessions.c.id.in_(
            select(sessions.c.id)
            .where(sessions.c.user_id == cast(bindparam("user"), Uuid))
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
            .offset(bindparam("others"))
        )
    )
    .returning(sessions.c.id)
    .cte("evicted")
)
_CREATE = (
    insert(sessions)
    .values(
        id=bindparam("session"),
        user_id=bindparam("user"),
        token=bindparam("token"),
        user_agent=bindparam("user_agent"),
        ends_at=func.now() + func.least(interval("idle"), interval("absolute")),
    )
    .returning(*_COLUMNS, select(func.count()).select_from(_EVICTED).scalar_subquery())
)


def _remembered(column: Column[Any], newest: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the column with one more value in front, without the values that are too old to be presented again."""
    is_recent = sessions.c.rotated_at > func.now() - interval("reuse_interval")
    carried = func.array_prepend(newest, column, type_=column.type)[1:_REMEMBERED]
    return case((is_recent, carried), else_=array([newest]))


_ROTATE = (
    update(sessions)
    .where(
        sessions.c.id == bindparam("session"),
        sessions.c.token == bindparam("presented"),
        _IS_ACTIVE,
        # The setting may be shorter than it was at the last rotation.
        sessions.c.created_at + interval("absolute") > func.now(),
    )
    .values(
        token=bindparam("successor"),
        replaced=_remembered(sessions.c.replaced, _PRESENTED),
        replaced_at=_remembered(sessions.c.replaced_at, func.now()),
        rotated_at=func.now(),
        ends_at=func.least(func.now() + interval("idle"), sessions.c.created_at + interval("absolute")),
    )
    .returning(*_COLUMNS)
)
_FIND = select(
    *_COLUMNS,
    sessions.c.token,
    sessions.c.replaced,
    func.now() - sessions.c.replaced_at[func.array_position(sessions.c.replaced, _PRESENTED)],
).where(sessions.c.id == bindparam("session"), _IS_ACTIVE)
_LIST_OF_USER = (
    select(*_COLUMNS)
    .where(sessions.c.user_id == bindparam("user"), _IS_ACTIVE)
    .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
)
_DELETE = (
    delete(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.user_id == bindparam("user"), _IS_ACTIVE)
    .returning(sessions.c.id)
)
_DELETE_ALL = delete(sessions).where(sessions.c.user_id == bindparam("user"))
_DELETE_OTHERS = _DELETE_ALL.where(sessions.c.id != bindparam("session"))
_DELETE_EXPIRED = delete_batch(sessions, ~_IS_ACTIVE)


class SessionRepo(Repository):
    """Creates, rotates and deletes sessions. All times are by PostgreSQL's clock."""

    async def create(self, new: NewSession, life: SessionLife, *, limit: int) -> tuple[Session, int]:
        """Create a session; return it and how many of the oldest were ended for it. The user's row has to be locked."""
        values = {
            "session": new.id,
            "user": new.user_id,
            "token": new.token,
            "user_agent": new.user_agent,
            "idle": life.idle,
            "absolute": life.absolute,
            "others": limit - 1,
        }
        *session, evicted = (await self._connection.execute(_CREATE, values)).one()
        return Session(*session), evicted

    async def rotate(self, session_id: UUID, presented: bytes, successor: bytes, life: SessionLife) -> Session | None:
        """Replace the presented token by its successor; return None if it is not the current token.

        Of several requests that present it at once, one succeeds and the others find it replaced.
        """
        values = {
            "session": session_id,
            "presented": presented,
            "successor": successor,
            **asdict(life),
        }
        row = (await self._connection.execute(_ROTATE, values)).one_or_none()
        return Session(*row) if row else None

    async def find(self, session_id: UUID, presented: bytes) -> Rotation | None:
        """Return an active session and the state of a refresh token in it."""
        row = (await self._connection.execute(_FIND, {"session": session_id, "presented": presented})).one_or_none()
        return Rotation(Session(*row[:-3]), *row[-3:]) if row else None

    async def list_of_user(self, user_id: UUID) -> list[Session]:
        """Return the user's active sessions, newest first."""
        return [Session(*row) for row in await self._connection.execute(_LIST_OF_USER, {"user": user_id})]

    async def delete(self, session_id: UUID, user_id: UUID) -> bool:
        """End one session of a user; return False if there is none of that id."""
        return await self._has_row(_DELETE, {"session": session_id, "user": user_id})

    async def delete_all(self, user_id: UUID, *, except_session: UUID | None = None) -> None:
        """End every session of a user, except ``except_session``."""
        if except_session is None:
            await self._connection.execute(_DELETE_ALL, {"user": user_id})
        else:
            await self._connection.execute(_DELETE_OTHERS, {"user": user_id, "session": except_session})

    async def delete_expired(self) -> bool:
        """Delete a batch of expired sessions; return True if there may be more."""
        return await self._has_more(_DELETE_EXPIRED)
