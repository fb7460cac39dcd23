"""The outbox: mail waits here in the transaction that gives it its meaning, and leaves by a worker's hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Integer,
    Interval,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.batch_delete import delete_batch, has_more
from database.tables import outbox
from models.values.flow import WaitingFlow

CHANNEL = "outbox"
"""The NOTIFY channel that wakes the workers."""


RECIPIENT_DEFERRED = "recipient: "
"""How the last error of a job begins whose recipient alone is to blame."""

SEALED = "sealed"
"""What of a payload is encrypted: the address of somebody who has it no more in an account."""


@dataclass(frozen=True, slots=True)
class Job:
    """A mail to be sent, leased to one worker; ``attempts`` counts this one and tells two leases apart."""

    id: int
    kind: str
    payload: Mapping[str, Any]
    attempts: int
    given_up: bool
    hint: WaitingFlow | None = None
    """The flow of a mail with a code, if the process that has opened it also sends the mail; never stored."""


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """A mail about a user that has not left."""

    kind: str
    created_at: datetime
    due_at: datetime
    give_up_at: datetime
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Mail of one kind that waits."""

    jobs: int
    oldest: timedelta


@dataclass(frozen=True, slots=True)
class MailStats:
    """How the mail of one kind stands."""

    kind: str
    waiting: int
    dead: int
    oldest: timedelta
    """Age of the oldest that waits."""


def _interval(name: str) -> BindParameter[timedelta]:
    return bindparam(name, type_=Interval)


# A worker that lost its lease must not settle another's: the attempt tells two leases of one job apart.
_LEASED = (outbox.c.id == bindparam("job"), outbox.c.attempts == bindparam("attempt"))
_CREATE = (
    insert(outbox)
    .values(kind=bindparam("kind"), payload=bindparam("payload"), give_up_at=func.now() + _interval("give_up_after"))
    .returning(outbox.c.id)
)
_CREATE_LEASED = (
    insert(outbox)
    .values(
        kind=bindparam("kind"),
        payload=bindparam("payload"),
        give_up_at=func.now() + _interval("give_up_after"),
        due_at=func.now() + _interval("lease"),
        attempts=1,
    )
    .returning(outbox.c.id)
)
_CREATE_AND_NOTIFY = select(func.pg_notify(CHANNEL, "")).select_from(_CREATE.cte("job"))
_DUE = (
    select(outbox.c.id)
    .where(outbox.c.failed_at.is_(None), outbox.c.due_at <= func.now())
    .order_by(outbox.c.due_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
    # As a CTE it runs once; as a subquery PostgreSQL may run it for every row, and lease more than was asked for.
    .cte("due")
)
_LEASE = (
    update(outbox)
    .where(outbox.c.id.in_(select(_DUE.c.id)))
    .values(due_at=func.now() + _interval("lease"), attempts=outbox.c.attempts + 1)
    .returning(
        outbox.c.id,
        outbox.c.kind,
        outbox.c.payload,
        outbox.c.attempts,
        (outbox.c.give_up_at <= func.now()).label("given_up"),
    )
)
_RENEW = update(outbox).where(*_LEASED).values(due_at=func.now() + _interval("lease"))
# SMTP's 250 is final, whoever holds the lease by now.
_DONE = delete(outbox).where(outbox.c.id == func.any(bindparam("jobs", type_=ARRAY(BigInteger))))
_LATER = update(outbox).where(*_LEASED).values(due_at=func.now() + _interval("delay"), last_error=bindparam("reason"))
_DEAD = update(outbox).where(*_LEASED).values(failed_at=func.now(), last_error=bindparam("reason"))
_BACKLOG = select(func.count().label("jobs"), (func.now() - func.min(outbox.c.created_at)).label("oldest")).where(
    outbox.c.failed_at.is_(None),
    outbox.c.kind == bindparam("kind"),
    # Anybody can name an address whose server puts everything off; were such mail counted, he could stop all starts.
    func.coalesce(outbox.c.last_error, "").notlike(f"{RECIPIENT_DEFERRED}%"),
)
_WAITS = outbox.c.failed_at.is_(None)
_STATES = select(
    outbox.c.kind,
    func.count().filter(_WAITS).label("waiting"),
    func.count().filter(~_WAITS).label("dead"),
    func.coalesce(func.now() - func.min(outbox.c.created_at).filter(_WAITS), text("interval '0'")).label("oldest"),
).group_by(outbox.c.kind)
_FORGET_OLD = delete_batch(
    outbox,
    or_(
        outbox.c.failed_at < func.now() - text("interval '14 days'"),
        # An address that its owner has withdrawn is kept no longer than the mail to it is tried.
        and_(outbox.c.payload.has_key(SEALED), outbox.c.failed_at < func.now() - text("interval '48 hours'")),
    ),
)
_ABOUT = outbox.c.payload["user_id"].astext == bindparam("user")
_OF_USER = (
    select(outbox.c.kind, outbox.c.created_at, outbox.c.due_at, outbox.c.give_up_at, outbox.c.failed_at)
    .where(_ABOUT)
    .order_by(outbox.c.id)
)
_FORGET_USER = delete(outbox).where(_ABOUT, ~outbox.c.payload.has_key(SEALED))


class OutboxRepo:
    """Puts, leases and settles jobs. Every moment is PostgreSQL's, so that no clock of ours matters."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, kind: str, payload: Mapping[str, Any], give_up_after: timedelta, *, notify: bool = True
    ) -> None:
        """Enqueue a mail; it leaves if, and only if, this transaction commits. ``notify`` wakes the workers."""
        await self._connection.execute(
            _CREATE_AND_NOTIFY if notify else _CREATE,
            {"kind": kind, "payload": dict(payload), "give_up_after": give_up_after},
        )

    async def create_leased(
        self, kind: str, payload: Mapping[str, Any], give_up_after: timedelta, lease: timedelta
    ) -> Job:
        """Enqueue a mail that a worker beside the caller takes at once: it is leased from the start."""
        values = {"kind": kind, "payload": dict(payload), "give_up_after": give_up_after, "lease": lease}
        job = (await self._connection.execute(_CREATE_LEASED, values)).scalar_one()
        return Job(job, kind, payload, attempts=1, given_up=False)

    async def lease(self, limit: int, lease: timedelta) -> list[Job]:
        """Lease up to ``limit`` due jobs; whoever holds one must renew or settle it before the lease ends.

        A worker that dies settles nothing, and its jobs are due again when the lease is over.
        """
        rows = await self._connection.execute(_LEASE, {"limit": limit, "lease": lease})
        return [Job(*row) for row in rows]

    async def renew(self, jobs: Sequence[Job], lease: timedelta) -> None:
        """Prolong the lease of jobs still in hand."""
        await self._connection.execute(_RENEW, [{**_lease_of(job), "lease": lease} for job in jobs])

    async def delete_sent(self, jobs: Iterable[int]) -> None:
        """The mails are with SMTP, or are not needed any more."""
        await self._connection.execute(_DONE, {"jobs": list(jobs)})

    async def reschedule(self, job: Job, delay: timedelta, reason: str) -> None:
        """Try again after a while."""
        await self._connection.execute(_LATER, {**_lease_of(job), "delay": delay, "reason": reason})

    async def mark_dead(self, job: Job, reason: str) -> None:
        """A dead letter: kept for the operator to see, tried no more."""
        await self._connection.execute(_DEAD, {**_lease_of(job), "reason": reason})

    async def get_backlog(self, kind: str) -> Backlog:
        """How much mail of a kind waits, and for how long the oldest has."""
        row = (await self._connection.execute(_BACKLOG, {"kind": kind})).one()
        return Backlog(row.jobs, row.oldest or timedelta())

    async def list_stats(self) -> list[MailStats]:
        """How the mail of each kind stands, of those kinds that there is any of."""
        return [MailStats(*row) for row in await self._connection.execute(_STATES)]

    async def delete_expired(self) -> bool:
        """Drop some dead letters of a fortnight ago, with an address of two days ago; True when there may be more."""
        return has_more(await self._connection.execute(_FORGET_OLD))

    async def list_of_user(self, user_id: UUID) -> list[WaitingMail]:
        """Mail about a user that waits, oldest first; mail with a code names a flow alone, and is not among it."""
        rows = await self._connection.execute(_OF_USER, {"user": str(user_id)})
        return [WaitingMail(*row) for row in rows]

    async def delete_of_user(self, user_id: UUID) -> None:
        """Drop mail about a user, but what has an address of its own.

        Whoever has taken an account over, and deletes it, must not take back that its owner is told.
        """
        await self._connection.execute(_FORGET_USER, {"user": str(user_id)})


def _lease_of(job: Job) -> dict[str, int]:
    return {"job": job.id, "attempt": job.attempts}
