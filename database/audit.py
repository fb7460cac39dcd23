"""The audit log: what happened to accounts, kept when they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, bindparam, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audit_log
from models.audit import Record

_CHUNK = 5_000
"""Rows forgotten by one statement, so that none runs into its deadline."""

_ADD = insert(audit_log)
_OLD = (
    select(audit_log.c.id)
    .where(audit_log.c.at < func.now() - bindparam("keep", type_=Interval))
    .order_by(audit_log.c.at)
    .limit(_CHUNK)
)
_FORGET_OLD = delete(audit_log).where(audit_log.c.id.in_(_OLD)).returning(audit_log.c.id)
_OF_USER = (
    select(audit_log)
    .where(or_(audit_log.c.actor == bindparam("user"), audit_log.c.subject == bindparam("user")))
    .order_by(audit_log.c.id)
)


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What was written down."""

    id: int
    at: datetime
    event: str
    actor: UUID | None
    subject: UUID | None
    source: str
    details: Mapping[str, Any]
    times: int


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines are wanted; what is None does not matter."""

    event: str | None = None
    actor: UUID | None = None
    subject: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    """Lines older than the one of this id: the next page."""


class AuditRepo:
    """Adds lines, shows them, and forgets them in time; nothing changes one."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, record: Record) -> None:
        """Write down what happens in this transaction."""
        await self._connection.execute(_ADD, _values(record, 1))

    async def add_all(self, records: Iterable[tuple[Record, int]]) -> None:
        """Write down several, and how often each happened."""
        await self._connection.execute(_ADD, [_values(record, times) for record, times in records])

    async def find(self, query: AuditQuery, most: int) -> list[AuditLine]:
        """The newest lines first."""
        wanted = select(audit_log).order_by(audit_log.c.id.desc()).limit(most)
        for column, value in (
            (audit_log.c.event, query.event),
            (audit_log.c.actor, query.actor),
            (audit_log.c.subject, query.subject),
        ):
            if value is not None:
                wanted = wanted.where(column == value)
        if query.since is not None:
            wanted = wanted.where(audit_log.c.at >= query.since)
        if query.until is not None:
            wanted = wanted.where(audit_log.c.at < query.until)
        if query.before is not None:
            wanted = wanted.where(audit_log.c.id < query.before)
        return [AuditLine(**row) for row in (await self._connection.execute(wanted)).mappings()]

    async def of_user(self, user_id: UUID) -> Sequence[AuditLine]:
        """Everything that a user did, or that was done to the account."""
        rows = await self._connection.execute(_OF_USER, {"user": user_id})
        return [AuditLine(**row) for row in rows.mappings()]

    async def forget_old(self, keep: timedelta) -> bool:
        """Drop some of what is older than that; True when there may be more."""
        gone = await self._connection.execute(_FORGET_OLD, {"keep": keep})
        return len(gone.all()) == _CHUNK


def _values(record: Record, times: int) -> dict[str, object]:
    return {
        "event": record.event.value,
        "actor": record.actor.user_id,
        "subject": record.subject,
        "source": record.actor.source,
        "details": dict(record.details),
        "times": times,
    }
