"""The audit log: what happened to accounts, kept when they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, Select, bindparam, func, insert, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from database.batch_delete import delete_batch, has_more
from database.tables import audit_log
from models.admin.audit_log import AuditQuery
from models.context.audit import Record

_ADD = insert(audit_log)
_ADD_ONE = _ADD.returning(audit_log.c.id)
_FORGET_OLD = delete_batch(audit_log, audit_log.c.at < func.now() - bindparam("keep", type_=Interval))


def _next_ids(whose: ColumnElement[Any]) -> Select[tuple[int]]:
    wanted = (whose == bindparam("user"), audit_log.c.id > bindparam("after"), audit_log.c.id <= bindparam("last"))
    return select(audit_log.c.id).where(*wanted).order_by(audit_log.c.id).limit(bindparam("limit"))


# Each half can be read in the order of its own index, which an OR of the two cannot: a page costs no look at the rest.
_NEXT_IDS = union(_next_ids(audit_log.c.actor), _next_ids(audit_log.c.subject))
_OF_USER = select(audit_log).where(audit_log.c.id.in_(_NEXT_IDS)).order_by(audit_log.c.id).limit(bindparam("limit"))


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


class AuditRepo:
    """Adds lines, shows them, and forgets them in time; nothing changes one."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(self, record: Record) -> int:
        """Write down what happens in this transaction; return the line's id."""
        added: int = (await self._connection.execute(_ADD_ONE, _values(record, 1))).scalar_one()
        return added

    async def create_all(self, records: Iterable[tuple[Record, int]]) -> None:
        """Write down several, and how often each happened."""
        await self._connection.execute(_ADD, [_values(record, times) for record, times in records])

    async def list(self, query: AuditQuery) -> Sequence[AuditLine]:
        """Return the matching lines, newest first, and one more than fits on the page if there is one."""
        wanted = select(audit_log).order_by(audit_log.c.id.desc()).limit(query.limit + 1)
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
        if query.cursor is not None:
            wanted = wanted.where(audit_log.c.id < query.cursor)
        return [AuditLine(**row) for row in (await self._connection.execute(wanted)).mappings()]

    async def list_of_user(self, user_id: UUID, *, after: int, last: int, limit: int) -> Sequence[AuditLine]:
        """What a user did, or what was done to the account: the lines after that id up to the last, oldest first."""
        wanted = {"user": user_id, "after": after, "last": last, "limit": limit}
        rows = await self._connection.execute(_OF_USER, wanted)
        return [AuditLine(**row) for row in rows.mappings()]

    async def delete_expired(self, keep: timedelta) -> bool:
        """Drop some of what is older than that; True when there may be more."""
        return has_more(await self._connection.execute(_FORGET_OLD, {"keep": keep}))


def _values(record: Record, times: int) -> dict[str, object]:
    return {
        "event": record.event.value,
        "actor": record.actor.user_id,
        "subject": record.subject,
        "source": record.actor.source,
        "details": dict(record.details),
        "times": times,
    }
