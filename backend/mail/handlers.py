"""The handlers of outbox jobs: each finds out who is to be mailed what, and has it sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.mail.code_mail import CodeMail, CodeMailRequest
from backend.mail.notices import Notice
from backend.mail.sealed_recipient import Recipient, RecipientEncryptor
from backend.mail.smtp_pool import SmtpPool
from database.engine import Database
from database.mail.outbox import SEALED, Job
from database.users import User
from models.values.flow import CODE_MAIL, CodeRecipient, WaitingFlow
from redis_tools.flow_store import FlowStore
from template_message.render import MailTemplates

MailHandler = Callable[[Job], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MailHandlers:
    """Sends the mail of a job. Every handler may raise `Unavailable`, and what `SmtpPool.send` raises."""

    database: Database
    store: FlowStore
    templates: MailTemplates
    smtp_pool: SmtpPool
    code_mail: CodeMail
    recipient_encryptor: RecipientEncryptor

    def by_kind(self) -> dict[str, MailHandler]:
        """Return the handler of each kind of job."""
        return {CODE_MAIL: self.send_code, **dict.fromkeys(Notice, self.send_notice)}

    async def send_code(self, job: Job) -> None:
        """Mail the code of a flow, if the flow still waits for one and its address is one that gets it."""
        flow_id, serial = bytes.fromhex(job.payload["flow"]), job.payload["serial"]
        flow = job.hint or await self.store.find_waiting(flow_id)
        if flow is None or flow.minted > serial:
            return
        if flow.spec.recipient is CodeRecipient.ACCOUNT:
            request = CodeMailRequest(flow_id, serial, flow, flow.data.locale, account_id=flow.data.user_id)
        else:
            async with self.database.statement() as db:
                user = await db.users.find_by_email(flow.data.email)
            if user is not None and flow.spec.recipient is CodeRecipient.TYPED_UNLESS_TAKEN:
                await self._send_if_permitted(flow.spec.taken_mail, flow, user)
                return
            if user is None and flow.spec.recipient is CodeRecipient.TYPED_IF_KNOWN:
                return
            locale = user.locale if user else flow.data.locale
            request = CodeMailRequest(flow_id, serial, flow, locale, account_id=user.id if user else None)
        await self.code_mail.send(request)

    async def _send_if_permitted(self, mail: str, flow: WaitingFlow, user: User) -> None:
        """Send a mail without a code at the cost of one with a code: both are charged to the same bucket."""
        async with self.code_mail.mail_permit(flow) as permit:
            if permit is not None:
                await self._send(mail, user, login=user.login)

    async def send_notice(self, job: Job) -> None:
        """Notify a user of a change to the account, if the account exists or the job holds the address."""
        user = await self._find_recipient(job)
        if user is not None:
            await self._send(job.kind, user, login=user.login, when=datetime.fromisoformat(job.payload["at"]))

    async def _find_recipient(self, job: Job) -> User | Recipient | None:
        if SEALED in job.payload:
            return self.recipient_encryptor.decrypt(job.payload[SEALED])
        async with self.database.statement() as db:
            return await db.users.find_by_id(UUID(job.payload["user_id"]))

    async def _send(self, mail: str, user: User | Recipient, **values: object) -> None:
        await self.smtp_pool.send(user.email, self.templates.render(mail, user.locale, **values))
