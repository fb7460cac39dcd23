"""The outbox: a mail is written in the transaction that causes it, and a worker sends it afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Integer,
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

from database.repository import Repository, delete_batch, interval
from database.tables import outbox
from models.responses.export import UnsentMail
from models.values.flow import WaitingFlow

CHANNEL = "outbox"
"""The NOTIFY channel that wakes the workers."""


RECIPIENT_DEFERRED = "recipient: "
"""The beginning of ``last_error`` of a job that failed because of its recipient alone."""

SEALED = "sealed"
"""The key of the encrypted part of a payload: an address that is not, or no longer, that of the account."""


@dataclass(frozen=True, slots=True)
class Job:
    """A mail to be sent, leased to one worker; ``attempts`` includes this one and distinguishes two leases."""

    id: int
    kind: str
    payload: Mapping[str, Any]
    attempts: int
    given_up: bool
    hint: WaitingFlow | None = None
    """The flow of a mail with a code, if the process that has opened it also sends the mail; never stored."""


@dataclass(frozen=True, slots=True)
class MailStats:
    """Numbers of mails of one kind."""

    kind: str
    waiting: int
    dead: int
    oldest: timedelta
    """Age of the oldest waiting mail."""


# A worker that has lost its lease must not settle the lease of another: the attempt distinguishes the two.
_LEASED = (outbox.c.id == bindparam("job"), outbox.c.attempts == bindparam("attempt"))
_CREATE = (
    insert(outbox)
    .values(kind=bindparam("kind"), payload=bindparam("payload"), give_up_at=func.now() + interval("give_up_after"))
    .returning(outbox.c.id)
)
_CREATE_LEASED = _CREATE.values(due_at=func.now() + interval("lease"), attempts=1)
_CREATE_AND_NOTIFY = select(func.pg_notify(CHANNEL, "")).select_from(_CREATE.cte("job"))
_DUE = (
    select(outbox.c.id)
    .where(outbox.c.failed_at.is_(None), outbox.c.due_at <= func.now())
    .order_by(outbox.c.due_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
    # As a CTE it runs once; as a subquery PostgreSQL may run it for every row, and lease more than the limit.
    .cte("due")
)
_LEASE = (
    update(outbox)
    .where(outbox.c.id.in_(select(_DUE.c.id)))
    .values(due_at=func.now() + interval("lease"), attempts=outbox.c.attempts + 1)
    .returning(
        outbox.c.id,
        outbox.c.kind,
        outbox.c.payload,
        outbox.c.attempts,
        (outbox.c.give_up_at <= func.now()).label("given_up"),
    )
)
_RENEW = update(outbox).where(*_LEASED).values(due_at=func.now() + interval("lease"))
# The 250 of SMTP is final, whichever worker holds the lease by now.
_DELETE_SENT = delete(outbox).where(outbox.c.id == func.any(bindparam("jobs", type_=ARRAY(BigInteger))))
_RESCHEDULE = (
    update(outbox).where(*_LEASED).values(due_at=func.now() + interval("delay"), last_error=bindparam("reason"))
)
_MARK_DEAD = update(outbox).where(*_LEASED).values(failed_at=func.now(), last_error=bindparam("reason"))
_BACKLOG = select(func.count().label("jobs"), (func.now() - func.min(outbox.c.created_at)).label("oldest")).where(
    outbox.c.failed_at.is_(None),
    outbox.c.kind == bindparam("kind"),
    # An attacker can enter an address whose server defers every mail: such mails must not stop new flows.
    func.coalesce(outbox.c.last_error, "").notlike(f"{RECIPIENT_DEFERRED}%"),
)
_WAITS = outbox.c.failed_at.is_(None)
_STATS = select(
    outbox.c.kind,
    func.count().filter(_WAITS).label("waiting"),
    func.count().filter(~_WAITS).label("dead"),
    func.coalesce(func.now() - func.min(outbox.c.created_at).filter(_WAITS), text("interval '0'")).label("oldest"),
).group_by(outbox.c.kind)
_DELETE_EXPIRED = delete_batch(
    outbox,
    or_(
        outbox.c.failed_at < func.now() - text("interval '14 days'"),
        # An address that is no longer that of an account is kept no longer than the attempts to send to it.
        and_(outbox.c.payload.has_key(SEALED), outbox.c.failed_at < func.now() - text("interval '48 hours'")),
    ),
)
_ABOUT = outbox.c.payload["user_id"].astext == bindparam("user")
_LIST_OF_USER = (
    select(
        outbox.c.kind,
        outbox.c.created_at,
        outbox.c.due_at.label("next_try_at"),
        outbox.c.give_up_at.label("given_up_at"),
        outbox.c.failed_at,
    )
    .where(_ABOUT)
    .order_by(outbox.c.id)
)
_DELETE_OF_USER = delete(outbox).where(_ABOUT, ~outbox.c.payload.has_key(SEALED))


class OutboxRepo(Repository):
    """Creates, leases and settles jobs. All times are by PostgreSQL's clock, so that no worker's clock matters."""

    async def create(
        self, kind: str, payload: Mapping[str, Any], give_up_after: timedelta, *, notify: bool = True
    ) -> None:
        """Create a job; its mail is sent if, and only if, this transaction commits. ``notify`` wakes the workers."""
        await self._connection.execute(
            _CREATE_AND_NOTIFY if notify else _CREATE,
            {"kind": kind, "payload": dict(payload), "give_up_after": give_up_after},
        )

    async def create_leased(
        self, kind: str, payload: Mapping[str, Any], give_up_after: timedelta, lease: timedelta
    ) -> Job:
        """Create a job that is leased from the start: the worker in this process sends the mail at once."""
        values = {"kind": kind, "payload": dict(payload), "give_up_after": give_up_after, "lease": lease}
        job = (await self._connection.execute(_CREATE_LEASED, values)).scalar_one()
        return Job(job, kind, payload, attempts=1, given_up=False)

    async def lease(self, limit: int, lease: timedelta) -> list[Job]:
        """Lease up to ``limit`` due jobs; the worker has to renew or settle each before its lease ends.

        The jobs of a worker that dies are due again when their lease ends.
        """
        rows = await self._connection.execute(_LEASE, {"limit": limit, "lease": lease})
        return [Job(*row) for row in rows]

    async def renew(self, jobs: Sequence[Job], lease: timedelta) -> None:
        """Renew the lease of jobs in flight."""
        await self._connection.execute(_RENEW, [{**_lease_of(job), "lease": lease} for job in jobs])

    async def delete_sent(self, jobs: Iterable[int]) -> None:
        """Delete jobs whose mails SMTP has accepted, or that are not needed any more."""
        await self._connection.execute(_DELETE_SENT, {"jobs": list(jobs)})

    async def reschedule(self, job: Job, delay: timedelta, reason: str) -> None:
        """Try the job again after ``delay``."""
        await self._connection.execute(_RESCHEDULE, {**_lease_of(job), "delay": delay, "reason": reason})

    async def mark_dead(self, job: Job, reason: str) -> None:
        """Make the job a dead letter: kept for administrators to see, and not tried again."""
        await self._connection.execute(_MARK_DEAD, {**_lease_of(job), "reason": reason})

    async def get_backlog(self, kind: str) -> tuple[int, timedelta]:
        """Return how many mails of a kind wait, and for how long the oldest has."""
        row = (await self._connection.execute(_BACKLOG, {"kind": kind})).one()
        return row.jobs, row.oldest or timedelta()

    async def list_stats(self) -> list[MailStats]:
        """Return the numbers of each kind that has mails."""
        return [MailStats(*row) for row in await self._connection.execute(_STATS)]

    async def delete_expired(self) -> bool:
        """Delete a batch of dead letters: after 14 days, or after 48 hours if they contain an address.

        Return True if there may be more.
        """
        return await self._has_more(_DELETE_EXPIRED)

    async def list_of_user(self, user_id: UUID) -> list[UnsentMail]:
        """Return waiting mails about a user, oldest first, without mails with a code: these name only their flow."""
        rows = await self._connection.execute(_LIST_OF_USER, {"user": str(user_id)})
        return [UnsentMail(**row) for row in rows.mappings()]

    async def delete_of_user(self, user_id: UUID) -> None:
        """Delete mails about a user, except those with an address of their own.

        An attacker who took an account over, and deletes it, must not stop the notice to its owner.
        """
        await self._connection.execute(_DELETE_OF_USER, {"user": str(user_id)})


def _lease_of(job: Job) -> dict[str, int]:
    return {"job": job.id, "attempt": job.attempts}
