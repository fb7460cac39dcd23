"""``python main.py worker``: send mail, in a process of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import click

from backend.counters import Counters
from backend.keys import Keys
from backend.mail.code_mail import CodeMail
from backend.mail.enqueue import MailQueue
from backend.mail.handlers import HandOver
from backend.mail.notices import Notice
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.mail.smtp_pool import SmtpPool
from backend.mail.worker import Chore, Mailer, MailWorker, Work
from backend.protection.code_length_ladder import CodeLengthLadder
from backend.protection.mail_limits import MailLimits
from commands import logs
from config import Settings, load_settings
from database.engine import Database, Db, open_database
from models.values.flow import CODE_MAIL
from redis_tools.connection import open_valkey
from redis_tools.flow_store import FlowStore
from redis_tools.pipeline import Valkey
from redis_tools.thermostat import thermostats
from template_message.render import MailTemplates

_SETTLE_EVERY = 60.0
"""Seconds between two settlements of the ladder (design.md, section 4)."""

_TIDY_EVERY = 3600.0


@asynccontextmanager
async def open_mail_worker(
    settings: Settings, database: Database, valkey: Valkey, bell: MailQueue, counters: Counters
) -> AsyncIterator[MailWorker]:
    """A worker with its SMTP connections; somebody has to `run` it."""
    servers = [server.get_secret_value() for server in settings.smtp.url]
    postman = SmtpPool(servers, settings.mail.from_, connections=settings.smtp.connections)
    store, templates = FlowStore(valkey), MailTemplates(settings.service_name)
    ladder = CodeLengthLadder(
        database, store, settings.rungs(device=False), settings.rungs(device=True), flow_ttl=settings.flow.ttl
    )
    keys = Keys(settings.secrets)
    codes = CodeMail(
        valkey=valkey,
        store=store,
        keys=keys,
        ladder=ladder,
        thermostats=thermostats(settings.thermostat, settings.rungs(device=False)),
        mail_limits=MailLimits(settings.limit.mails, settings.limit.device_mails),
        templates=templates,
        postman=postman,
        ttl=settings.code.ttl,
    )
    hand_over = HandOver(database, store, templates, postman, codes, RecipientEncryptor(keys))
    notices = {notice.value: partial(hand_over.notice, notice) for notice in Notice}
    mailers: dict[str, Mailer] = {CODE_MAIL: hand_over.code, **notices}
    url = settings.database.url.get_secret_value()

    async def tidy() -> None:
        keep = timedelta(seconds=settings.audit.retention)
        forgets: tuple[Callable[[Db], Awaitable[bool]], ...] = (
            lambda db: db.outbox.forget_old(),
            lambda db: db.used_flows.forget_old(),
            lambda db: db.sessions.forget_over(),
            lambda db: db.audit.forget_old(keep),
        )
        for forget_some in forgets:
            more = True
            while more:
                async with database.statement() as db:
                    more = await forget_some(db)
        await ladder.delete_full_budgets()

    chores = (Chore(ladder.refund_unused, _SETTLE_EVERY), Chore(tidy, _TIDY_EVERY))
    try:
        yield MailWorker(database, url, bell, Work(mailers, chores, counters), hands=settings.smtp.connections)
    finally:
        await postman.close()


async def _work(settings: Settings) -> None:
    async with (
        open_database(settings.database) as database,
        open_valkey(settings.redis) as valkey,
    ):
        counters = Counters(valkey)
        async with open_mail_worker(settings, database, valkey, MailQueue(heard=True), counters) as mail_worker:
            task, counting = asyncio.create_task(mail_worker.run()), asyncio.create_task(counters.run())

            def stop() -> None:
                # Once: asked again, it would let go of the mail in hand.
                if not task.cancelling():
                    task.cancel()

            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, stop)
            await asyncio.wait([task])
            # What the last mails counted for is added before the end.
            counting.cancel()
            await asyncio.wait([counting])
            if not task.cancelled():
                task.result()


@click.command()
def worker() -> None:
    """Send the mail that waits in the outbox, until stopped."""
    logs.set_up()
    asyncio.run(_work(load_settings()))
