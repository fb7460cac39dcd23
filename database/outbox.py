"""The outbox: mail waits here in the transaction that gives it its meaning, and leaves by a worker's hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import case, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import outbox

CHANNEL = "outbox"
"""The NOTIFY channel that wakes the workers."""


@dataclass(frozen=True, slots=True)
class Job:
    """A mail to be sent, leased to one worker; ``attempts`` counts this one and tells two leases apart."""

    id: int
    kind: str
    payload: Mapping[str, Any]
    attempts: int
    given_up: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """Mail of one kind that waits."""

    jobs: int
    oldest: timedelta


class OutboxRepo:
    """Puts, leases and settles jobs. Every moment is PostgreSQL's, so that no clock of ours matters."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, kind: str, payload: Mapping[str, Any], give_up_after: timedelta) -> None:
        """Enqueue a mail; it leaves if, and only if, this transaction commits. One statement, waking included."""
        job = (
            insert(outbox)
            .values(kind=kind, payload=dict(payload), give_up_at=func.now() + give_up_after)
            .returning(outbox.c.id)
            .cte("job")
        )
        await self._connection.execute(select(func.pg_notify(CHANNEL, "")).select_from(job))

    async def lease(self, most: int, lease: timedelta) -> list[Job]:
        """Take up to ``most`` due jobs; whoever holds one must renew or settle it before the lease ends.

        A worker that dies settles nothing, and its jobs are due again when the lease is over.
        """
        due = (
            select(outbox.c.id)
            .where(outbox.c.failed_at.is_(None), outbox.c.due_at <= func.now())
            .order_by(outbox.c.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        rows = await self._connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(due.scalar_subquery()))
            .values(due_at=func.now() + lease, attempts=outbox.c.attempts + 1)
            .returning(
                outbox.c.id,
                outbox.c.kind,
                outbox.c.payload,
                outbox.c.attempts,
                (outbox.c.give_up_at <= func.now()).label("given_up"),
            )
        )
        return [Job(*row) for row in rows]

    async def renew(self, jobs: Sequence[Job], lease: timedelta) -> None:
        """Prolong the lease of jobs still in hand."""
        held = case({job.id: job.attempts for job in jobs}, value=outbox.c.id)
        await self._connection.execute(
            update(outbox)
            .where(outbox.c.id.in_([job.id for job in jobs]), outbox.c.attempts == held)
            .values(due_at=func.now() + lease)
        )

    async def done(self, job: Job) -> None:
        """The mail is with SMTP, or is not needed any more."""
        await self._connection.execute(delete(outbox).where(*_leased(job)))

    async def later(self, job: Job, delay: timedelta, reason: str) -> None:
        """Try again after a while."""
        await self._connection.execute(
            update(outbox).where(*_leased(job)).values(due_at=func.now() + delay, last_error=reason)
        )

    async def dead(self, job: Job, reason: str) -> None:
        """A dead letter: kept for the operator to see, tried no more."""
        await self._connection.execute(
            update(outbox).where(*_leased(job)).values(failed_at=func.now(), last_error=reason)
        )

    async def backlog(self, kind: str) -> Backlog:
        """How much mail of a kind waits, and for how long the oldest has."""
        row = (
            await self._connection.execute(
                select(func.count().label("jobs"), (func.now() - func.min(outbox.c.created_at)).label("oldest")).where(
                    outbox.c.failed_at.is_(None), outbox.c.kind == kind
                )
            )
        ).one()
        return Backlog(row.jobs, row.oldest or timedelta())

    async def forget_old(self) -> None:
        """Drop dead letters after a fortnight."""
        await self._connection.execute(
            delete(outbox).where(outbox.c.failed_at < func.now() - text("interval '14 days'"))
        )


def _leased(job: Job) -> tuple[Any, Any]:
    """The job, if this lease of it still counts: a worker that lost it must not settle another's."""
    return outbox.c.id == job.id, outbox.c.attempts == job.attempts
