"""The mail worker with its handlers and chores, for a process that serves and for ``python main.py worker``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from backend.mail.code_mail import CodeMail
from backend.mail.handlers import MailHandlers
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.mail.smtp_pool import SmtpPool
from backend.mail.worker import Chore, MailWorker
from backend.protection.code_length_ladder import CodeLengthLadder
from config import Settings
from database.engine import Database
from database.repositories import Db
from template_message.render import MailTemplates
from wiring.shared import Shared

_SETTLE_EVERY = 60.0
"""Seconds between two settlements of the ladder (service.md, section 4)."""

_CLEAN_UP_EVERY = 3600.0
"""Seconds between two deletions of expired rows."""


@asynccontextmanager
async def open_mail_worker(shared: Shared) -> AsyncIterator[MailWorker]:
    """Build a mail worker with its SMTP connections, and close these at the end; the caller has to `run` it."""
    settings, database = shared.settings, shared.database
    servers = [server.get_secret_value() for server in settings.smtp.url]
    smtp_pool = SmtpPool(servers, settings.mail.from_, connections=settings.smtp.connections)
    ladder = CodeLengthLadder(
        database,
        shared.flow_store,
        settings.rungs(device=False),
        settings.rungs(device=True),
        flow_ttl=settings.flow.ttl,
    )
    chores = (
        Chore(ladder.refund_unused, _SETTLE_EVERY),
        Chore(partial(_delete_expired, settings, database, ladder), _CLEAN_UP_EVERY),
    )
    try:
        yield MailWorker(
            database=database,
            listen_url=settings.database.url.get_secret_value(),
            mail_queue=shared.mail_queue,
            handlers=_mail_handlers(shared, smtp_pool, ladder).by_kind(),
            chores=chores,
            counters=shared.counters,
            concurrency=settings.smtp.connections,
        )
    finally:
        await smtp_pool.close()


def _mail_handlers(shared: Shared, smtp_pool: SmtpPool, ladder: CodeLengthLadder) -> MailHandlers:
    templates = MailTemplates(shared.settings.service_name)
    code_mail = CodeMail(
        valkey=shared.valkey,
        store=shared.flow_store,
        keys=shared.keys,
        ladder=ladder,
        thermostats=shared.thermostats,
        mail_limits=shared.mail_limits,
        templates=templates,
        smtp_pool=smtp_pool,
        ttl=shared.settings.code.ttl,
    )
    recipient_encryptor = RecipientEncryptor(shared.keys)
    return MailHandlers(shared.database, shared.flow_store, templates, smtp_pool, code_mail, recipient_encryptor)


async def _delete_expired(settings: Settings, database: Database, ladder: CodeLengthLadder) -> None:
    retention = timedelta(seconds=settings.audit.retention)
    deletions: tuple[Callable[[Db], Awaitable[bool]], ...] = (
        lambda db: db.outbox.delete_expired(),
        lambda db: db.used_flows.delete_expired(),
        lambda db: db.sessions.delete_expired(),
        lambda db: db.audit.delete_expired(retention),
    )
    for delete_batch in deletions:
        has_more = True
        while has_more:
            async with database.statement() as db:
                has_more = await delete_batch(db)
    await ladder.delete_full_budgets()
