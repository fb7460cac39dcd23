"""Sessions: one row a log-in, with the digests of its refresh tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Interval,
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
from sqlalchemy.ext.asyncio import AsyncConnection

from database.batch_delete import delete_batch, has_more
from database.tables import sessions


@dataclass(frozen=True, slots=True)
class SessionLife:
    """How long a session lives."""

    idle: timedelta
    """Without being refreshed."""
    absolute: timedelta
    """In all."""
    repeat: timedelta
    """How long a replaced refresh token is remembered as one."""


@dataclass(frozen=True, slots=True)
class Session:
    """A living session."""

    id: UUID
    user_id: UUID
    user_agent: str
    created_at: datetime
    rotated_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session about to be."""

    id: UUID
    user_id: UUID
    token: bytes
    """Digest of its first refresh token."""
    user_agent: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """Where a session stands, as far as one refresh token is concerned."""

    session: Session
    token: bytes
    """Digest of the one that is good."""
    replaced: Sequence[bytes]
    """Digests of the last few before it, newest first."""
    replaced_for: timedelta | None
    """How long ago the token that was asked about was replaced; None if it is none of these."""


_COLUMNS = (
    sessions.c.id,
    sessions.c.user_id,
    sessions.c.user_agent,
    sessions.c.created_at,
    sessions.c.rotated_at,
    sessions.c.ends_at,
)
_IS_ALIVE = sessions.c.ends_at > func.now()


def _interval(name: str) -> Any:
    return bindparam(name, type_=Interval)


_REMEMBERED = 32
"""Replaced tokens that a session remembers for repeats: more rotations in ten seconds are nobody's tabs."""

_PRESENTED = cast(bindparam("presented"), LargeBinary)


# Room is made and taken by one statement. Whoever opens a session has the row of its user locked, so that two of them
# do not count the same rows.
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
_OPEN = (
    insert(sessions)
    .values(
        id=bindparam("session"),
        user_id=bindparam("user"),
        token=bindparam("token"),
        user_agent=bindparam("user_agent"),
        ends_at=func.now() + func.least(_interval("idle"), _interval("absolute")),
    )
    .returning(*_COLUMNS, select(func.count()).select_from(_EVICTED).scalar_subquery())
)


def _remembered(column: Column[Any], newest: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column with one more in front; what is too old for a repeat is not carried along."""
    is_recent = sessions.c.rotated_at > func.now() - _interval("repeat")
    carried = func.array_prepend(newest, column, type_=column.type)[1:_REMEMBERED]
    return case((is_recent, carried), else_=array([newest]))


_ROTATE = (
    update(sessions)
    .where(
        sessions.c.id == bindparam("session"),
        sessions.c.token == bindparam("presented"),
        _IS_ALIVE,
        # The setting may be shorter than it was at the last rotation.
        sessions.c.created_at + _interval("absolute") > func.now(),
    )
    .values(
        token=bindparam("successor"),
        replaced=_remembered(sessions.c.replaced, _PRESENTED),
        replaced_at=_remembered(sessions.c.replaced_at, func.now()),
        rotated_at=func.now(),
        ends_at=func.least(func.now() + _interval("idle"), sessions.c.created_at + _interval("absolute")),
    )
    .returning(*_COLUMNS)
)
_FIND = select(
    *_COLUMNS,
    sessions.c.token,
    sessions.c.replaced,
    func.now() - sessions.c.replaced_at[func.array_position(sessions.c.replaced, _PRESENTED)],
).where(sessions.c.id == bindparam("session"), _IS_ALIVE)
_OF_USER = (
    select(*_COLUMNS)
    .where(sessions.c.user_id == bindparam("user"), _IS_ALIVE)
    .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
)
_END = (
    delete(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.user_id == bindparam("user"), _IS_ALIVE)
    .returning(sessions.c.id)
)
_END_ALL = delete(sessions).where(sessions.c.user_id == bindparam("user"))
_END_OTHERS = _END_ALL.where(sessions.c.id != bindparam("session"))
_FORGET_OVER = delete_batch(sessions, ~_IS_ALIVE)


class SessionRepo:
    """Opens, rotates and ends sessions. Every moment is PostgreSQL's."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(self, new: NewSession, life: SessionLife, *, limit: int) -> tuple[Session, int]:
        """A new session, and how many of the oldest have made room for it. The user's row has to be locked."""
        values = {
            "session": new.id,
            "user": new.user_id,
            "token": new.token,
            "user_agent": new.user_agent,
            "idle": life.idle,
            "absolute": life.absolute,
            "others": limit - 1,
        }
        *session, evicted = (await self._connection.execute(_OPEN, values)).one()
        return Session(*session), evicted

    async def rotate(self, session_id: UUID, presented: bytes, successor: bytes, life: SessionLife) -> Session | None:
        """Put the successor in the place of the token that was presented; None if that is not the good one.

        Of several that present it at once one is served, and the others find it replaced.
        """
        values = {
            "session": session_id,
            "presented": presented,
            "successor": successor,
            "idle": life.idle,
            "absolute": life.absolute,
            "repeat": life.repeat,
        }
        row = (await self._connection.execute(_ROTATE, values)).one_or_none()
        return Session(*row) if row else None

    async def find(self, session_id: UUID, presented: bytes) -> Rotation | None:
        """A living session and where it stands as far as a token is concerned."""
        row = (await self._connection.execute(_FIND, {"session": session_id, "presented": presented})).one_or_none()
        return Rotation(Session(*row[:-3]), *row[-3:]) if row else None

    async def list_of_user(self, user_id: UUID) -> list[Session]:
        """The user's living sessions, newest first."""
        return [Session(*row) for row in await self._connection.execute(_OF_USER, {"user": user_id})]

    async def delete(self, session_id: UUID, user_id: UUID) -> bool:
        """End one session of a user; False when there is no such one."""
        ended = await self._connection.execute(_END, {"session": session_id, "user": user_id})
        return ended.one_or_none() is not None

    async def delete_all(self, user_id: UUID, *, except_session: UUID | None = None) -> None:
        """End every session of a user, or every other one."""
        if except_session is None:
            await self._connection.execute(_END_ALL, {"user": user_id})
        else:
            await self._connection.execute(_END_OTHERS, {"user": user_id, "session": except_session})

    async def delete_expired(self) -> bool:
        """Drop some of the sessions whose time is over; True when there may be more."""
        return has_more(await self._connection.execute(_FORGET_OVER))
