"""``python main.py worker``: send mail, in a process of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from redis.asyncio import Redis

from backend.bell import Bell
from backend.flow import CODE_MAIL
from backend.hand_over import HandOver
from backend.keys import Keys
from backend.postman import Postman
from backend.recover import PASSWORD_CHANGED_MAIL
from backend.worker import MailWorker
from commands import logs
from config import Settings, load_settings
from database.engine import Database, open_database
from redis_tools.connection import open_redis
from redis_tools.flow_store import FlowStore
from template_message.render import MailTemplates


@asynccontextmanager
async def open_mail_worker(
    settings: Settings, database: Database, redis: Redis, bell: Bell
) -> AsyncIterator[MailWorker]:
    """A worker with its SMTP connections; somebody has to `run` it."""
    servers = [server.get_secret_value() for server in settings.smtp.url]
    postman = Postman(servers, settings.mail.from_, connections=settings.smtp.connections)
    hand_over = HandOver(
        database,
        FlowStore(redis),
        Keys([key.get_secret_value() for key in settings.secret_keys]),
        MailTemplates(settings.mail.service),
        postman,
        settings.code.digits,
        settings.code.ttl,
    )
    mailers = {CODE_MAIL: hand_over.code, PASSWORD_CHANGED_MAIL: hand_over.password_changed}
    url = settings.database.url.get_secret_value()
    try:
        yield MailWorker(database, url, bell, mailers, hands=settings.smtp.connections)
    finally:
        await postman.close()


async def _work(settings: Settings) -> None:
    async with (
        open_database(settings.database) as database,
        open_redis(settings.redis) as redis,
        open_mail_worker(settings, database, redis, Bell(heard=True)) as mail_worker,
    ):
        task = asyncio.create_task(mail_worker.run())
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


@click.command()
def worker() -> None:
    """Send the mail that waits in the outbox, until stopped."""
    logs.set_up()
    asyncio.run(_work(load_settings()))
