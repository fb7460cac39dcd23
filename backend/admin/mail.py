"""What administrators see of the mail that has not left, and how they have it tried once more."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from backend.audit import audit
from backend.mail.enqueue import LEASE
from database.engine import Database
from models.admin.pagination import paginate
from models.admin.schemas import MailPage, MailQuery, MailState, QueuedMail
from models.context.audit import Actor, Event
from models.errors import MailNotFound


@dataclass(frozen=True, slots=True)
class AdminMailService:
    """The outbox, in the hands of an administrator."""

    database: Database

    async def search(self, query: MailQuery) -> MailPage:
        """A page of what has not left, the newest first.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        dead = None if query.state is None else query.state is MailState.DEAD
        async with self.database.statement() as db:
            found = await db.mail_queue.find(dead=dead, before=query.cursor, most=query.limit + 1)
        page, following = paginate(found, query.limit, lambda job: job.id)
        return MailPage(items=[QueuedMail.model_validate(asdict(job)) for job in page], next=following)

    async def send_again(self, actor: Actor, mail_id: int) -> None:
        """Have a mail tried now; a dead letter has a fresh life, as long as its first one was.

        Raises:
            MailNotFound: it has left, or never was.
            Unavailable: PostgreSQL is away.
        """
        async with self.database.transaction() as db:
            found = await db.mail_queue.send_again(mail_id, LEASE)
            if found is None:
                raise MailNotFound
            kind, user_id = found
            await audit(db, Event.MAIL_SENT_AGAIN, actor, user_id, mail=mail_id, kind=kind)
