"""The outbox as an administrator sees it: what waits, what was given up, and how it is sent all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Interval, bindparam, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.mail.outbox import CHANNEL
from database.tables import outbox


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A mail that has not left."""

    id: int
    kind: str
    user_id: UUID | None
    attempts: int
    created_at: datetime
    due_at: datetime
    gives_up_at: datetime
    failed_at: datetime | None
    last_error: str | None


_USER = outbox.c.payload["user_id"].astext.label("user_id")
_NEWEST_FIRST = select(
    outbox.c.id,
    outbox.c.kind,
    _USER,
    outbox.c.attempts,
    outbox.c.created_at,
    outbox.c.due_at,
    outbox.c.give_up_at,
    outbox.c.failed_at,
    outbox.c.last_error,
).order_by(outbox.c.id.desc())

_IS_DEAD = outbox.c.failed_at.is_not(None)
# A worker may have it in hand: were it due at once, another one would send it a second time. It is due soon anyway.
_MAY_BE_IN_HAND = outbox.c.due_at <= func.now() + bindparam("lease", type_=Interval)
# A dead letter begins anew in every respect: were it as old as it is, a code that nobody waits for would count as one
# that has waited for days, and starts would be refused for it.
_SEND_AGAIN = (
    update(outbox)
    .where(outbox.c.id == bindparam("job"))
    .values(
        due_at=case((_IS_DEAD | ~_MAY_BE_IN_HAND, func.now()), else_=outbox.c.due_at),
        attempts=case((_IS_DEAD, 0), else_=outbox.c.attempts),
        give_up_at=case(
            (_IS_DEAD, func.now() + (outbox.c.give_up_at - outbox.c.created_at)), else_=outbox.c.give_up_at
        ),
        created_at=case((_IS_DEAD, func.now()), else_=outbox.c.created_at),
        last_error=case((_IS_DEAD, None), else_=outbox.c.last_error),
        failed_at=None,
    )
    .returning(outbox.c.kind, _USER)
)
_CALL = select(func.pg_notify(CHANNEL, ""))


class MailQueueRepo:
    """Shows the outbox, and has a job of it done now."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, *, dead: bool | None, before: int | None, limit: int) -> Sequence[QueuedJob]:
        """The newest first: dead letters, what waits, or both."""
        wanted = _NEWEST_FIRST.limit(limit)
        if dead is not None:
            wanted = wanted.where(_IS_DEAD if dead else ~_IS_DEAD)
        if before is not None:
            wanted = wanted.where(outbox.c.id < before)
        rows = await self._connection.execute(wanted)
        return [QueuedJob(job, kind, _uuid(user), *rest) for job, kind, user, *rest in rows]

    async def send_again(self, job: int, lease: timedelta) -> tuple[str, UUID | None] | None:
        """Make a job due now and call the workers; its kind and whom it is about, or None when there is none."""
        found = (await self._connection.execute(_SEND_AGAIN, {"job": job, "lease": lease})).one_or_none()
        if found is None:
            return None
        await self._connection.execute(_CALL)
        return found.kind, _uuid(found.user_id)


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
