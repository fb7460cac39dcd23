"""Sessions: one row a log-in, with the digests of its refresh tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, Uuid, bindparam, cast, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import sessions


@dataclass(frozen=True, slots=True)
class SessionLife:
    """How long a session lives."""

    idle: timedelta
    """Without being refreshed."""
    absolute: timedelta
    """In all."""


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
    """Where a session stands, as far as a refresh token is concerned."""

    session: Session
    token: bytes
    """Digest of the one that is good."""
    previous: bytes | None
    """Digest of the one before."""
    rotated_for: timedelta
    """How long ago the one took the place of the other."""


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
    .returning(*_COLUMNS)
    .add_cte(_EVICTED)
)
_ROTATE = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.token == bindparam("presented"), _IS_ALIVE)
    .values(
        token=bindparam("successor"),
        previous=bindparam("presented"),
        rotated_at=func.now(),
        ends_at=func.least(func.now() + _interval("idle"), sessions.c.created_at + _interval("absolute")),
    )
    .returning(*_COLUMNS)
)
_FIND = select(
    *_COLUMNS, sessions.c.token, sessions.c.previous, (func.now() - sessions.c.rotated_at).label("rotated_for")
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
_FORGET_OVER = delete(sessions).where(~_IS_ALIVE)


class SessionRepo:
    """Opens, rotates and ends sessions. Every moment is PostgreSQL's."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def open(self, new: NewSession, life: SessionLife, *, most: int) -> Session:
        """A new session; where a user has too many, the oldest make room. The user's row has to be locked."""
        values = {
            "session": new.id,
            "user": new.user_id,
            "token": new.token,
            "user_agent": new.user_agent,
            "idle": life.idle,
            "absolute": life.absolute,
            "others": most - 1,
        }
        return Session(*(await self._connection.execute(_OPEN, values)).one())

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
        }
        row = (await self._connection.execute(_ROTATE, values)).one_or_none()
        return Session(*row) if row else None

    async def find(self, session_id: UUID) -> Rotation | None:
        """A living session and where its tokens stand."""
        row = (await self._connection.execute(_FIND, {"session": session_id})).one_or_none()
        return Rotation(Session(*row[:-3]), *row[-3:]) if row else None

    async def of_user(self, user_id: UUID) -> list[Session]:
        """The user's living sessions, newest first."""
        return [Session(*row) for row in await self._connection.execute(_OF_USER, {"user": user_id})]

    async def end(self, session_id: UUID, user_id: UUID) -> bool:
        """End one session of a user; False when there is no such one."""
        ended = await self._connection.execute(_END, {"session": session_id, "user": user_id})
        return ended.one_or_none() is not None

    async def end_all(self, user_id: UUID, *, but: UUID | None = None) -> None:
        """End every session of a user, or every other one."""
        if but is None:
            await self._connection.execute(_END_ALL, {"user": user_id})
        else:
            await self._connection.execute(_END_OTHERS, {"user": user_id, "session": but})

    async def forget_over(self) -> None:
        """Drop sessions whose time is over."""
        await self._connection.execute(_FORGET_OVER)
