"""The audit log: what happened to accounts, kept when they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, select, union

from database.repository import Repository, delete_batch, interval
from database.tables import audit_log
from models.admin.audit_log import AuditEntry, AuditQuery
from models.context.audit import Record

_CREATE = insert(audit_log)
_CREATE_ONE = _CREATE.returning(audit_log.c.id)
_DELETE_EXPIRED = delete_batch(audit_log, audit_log.c.at < func.now() - interval("retention"))


def _next_ids(column: ColumnElement[Any]) -> Select[tuple[int]]:
    wanted = (column == bindparam("user"), audit_log.c.id > bindparam("after"), audit_log.c.id <= bindparam("last"))
    return select(audit_log.c.id).where(*wanted).order_by(audit_log.c.id).limit(bindparam("limit"))


# Each half is read in the order of its own index, which an OR of the two cannot be: a page reads no other rows.
_NEXT_IDS = union(_next_ids(audit_log.c.actor), _next_ids(audit_log.c.subject))
_LIST_OF_USER = (
    select(audit_log).where(audit_log.c.id.in_(_NEXT_IDS)).order_by(audit_log.c.id).limit(bindparam("limit"))
)


class AuditRepo(Repository):
    """Adds, lists and deletes lines of the audit log; no line is ever changed."""

    async def create(self, record: Record) -> int:
        """Add what happens in this transaction; return the id of the line."""
        line: int = (await self._connection.execute(_CREATE_ONE, _values(record, 1))).scalar_one()
        return line

    async def create_all(self, records: Iterable[tuple[Record, int]]) -> None:
        """Add several records, each with how often it happened."""
        await self._connection.execute(_CREATE, [_values(record, times) for record, times in records])

    async def list(self, query: AuditQuery) -> Sequence[AuditEntry]:
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
        return [AuditEntry(**row) for row in (await self._connection.execute(wanted)).mappings()]

    async def list_of_user(self, user_id: UUID, *, after: int, last: int, limit: int) -> Sequence[AuditEntry]:
        """Return lines about what a user did and what was done to the account: ids above ``after`` up to ``last``."""
        wanted = {"user": user_id, "after": after, "last": last, "limit": limit}
        rows = await self._connection.execute(_LIST_OF_USER, wanted)
        return [AuditEntry(**row) for row in rows.mappings()]

    async def delete_expired(self, retention: timedelta) -> bool:
        """Delete a batch of lines older than ``retention``; return True if there may be more."""
        return await self._has_more(_DELETE_EXPIRED, retention=retention)


def _values(record: Record, times: int) -> dict[str, object]:
    return {
        "event": record.event.value,
        "actor": record.actor.user_id,
        "subject": record.subject,
        "source": record.actor.source,
        "details": dict(record.details),
        "times": times,
    }
