"""Unsent mail: administrators list it, and send it again."""

from __future__ import annotations

from dataclasses import dataclass

from backend.audit import audit
from backend.mail.enqueue import LEASE
from database.engine import Database
from models.admin.mail import MailPage, MailQuery
from models.admin.pagination import paginate
from models.context.audit import Actor, Event
from models.errors import MailNotFound


@dataclass(frozen=True, slots=True)
class AdminMailService:
    """Searches the outbox, and makes a mail due again."""

    database: Database

    async def search(self, query: MailQuery) -> MailPage:
        """Return a page of unsent mail, newest first.

        Raises:
            Unavailable: PostgreSQL is unavailable.
        """
        async with self.database.statement() as db:
            found = await db.outbox_search.list(query)
        page, next_cursor = paginate(found, query.limit, lambda job: job.id)
        return MailPage(items=page, next=next_cursor)

    async def send_again(self, actor: Actor, mail_id: int) -> None:
        """Make a mail due now; a dead letter is then retried for as long as the first time.

        Raises:
            MailNotFound: it was sent, or has never existed.
            Unavailable: PostgreSQL is unavailable.
        """
        async with self.database.transaction() as db:
            found = await db.outbox_search.send_again(mail_id, LEASE)
            if found is None:
                raise MailNotFound
            kind, user_id = found
            await audit(db, Event.MAIL_SENT_AGAIN, actor, user_id, mail=mail_id, kind=kind)
