"""The outbox as administrators see it: waiting mails and dead letters, and how to send one of them now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, case, func, select, update

from database.mail.outbox import CHANNEL
from database.repository import Repository, interval
from database.tables import outbox
from models.admin.mail import MailQuery, MailState, QueuedMail

_USER = outbox.c.payload["user_id"].astext.label("user_id")
_NEWEST_FIRST = select(
    outbox.c.id,
    outbox.c.kind,
    _USER,
    outbox.c.attempts,
    outbox.c.created_at,
    outbox.c.due_at,
    outbox.c.give_up_at.label("gives_up_at"),
    outbox.c.failed_at,
    outbox.c.last_error,
).order_by(outbox.c.id.desc())

_IS_DEAD = outbox.c.failed_at.is_not(None)
# A worker may hold its lease: if it were due at once, another worker would send it again. It is due soon anyway.
_MAY_BE_LEASED = outbox.c.due_at <= func.now() + interval("lease")
# A dead letter starts anew in every respect: with its old creation time it would count as a code that has waited for
# days, and new flows would be refused.
_SEND_AGAIN = (
    update(outbox)
    .where(outbox.c.id == bindparam("job"))
    .values(
        due_at=case((_IS_DEAD | ~_MAY_BE_LEASED, func.now()), else_=outbox.c.due_at),
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
_NOTIFY = select(func.pg_notify(CHANNEL, ""))


class OutboxSearchRepo(Repository):
    """Lists the outbox, and makes a job of it due now."""

    async def list(self, query: MailQuery) -> Sequence[QueuedMail]:
        """Return the matching mails, newest first, and one more than fits on the page if there is one."""
        wanted = _NEWEST_FIRST.limit(query.limit + 1)
        if query.state is not None:
            wanted = wanted.where(_IS_DEAD if query.state is MailState.DEAD else ~_IS_DEAD)
        if query.cursor is not None:
            wanted = wanted.where(outbox.c.id < query.cursor)
        return [QueuedMail(**row) for row in (await self._connection.execute(wanted)).mappings()]

    async def send_again(self, job: int, lease: timedelta) -> tuple[str, UUID | None] | None:
        """Make a job due now and wake the workers; return its kind and its user, or None if there is no such job."""
        found = (await self._connection.execute(_SEND_AGAIN, {"job": job, "lease": lease})).one_or_none()
        if found is None:
            return None
        await self._connection.execute(_NOTIFY)
        return found.kind, UUID(found.user_id) if found.user_id else None
