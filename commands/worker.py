"""``python main.py worker``: send mail in a separate process."""

from __future__ import annotations

import asyncio
import logging
import signal

import click

from commands.shared import logs
from config import Settings, load_settings, setting_warnings
from database.engine import open_database
from redis_tools.connection import open_valkey
from wiring.mail_worker import open_mail_worker
from wiring.shared import Shared

log = logging.getLogger(__name__)


async def _work(settings: Settings) -> None:
    async with open_database(settings.database) as database, open_valkey(settings.redis) as valkey:
        shared = Shared(settings, database, valkey)
        async with open_mail_worker(shared) as mail_worker:
            task, counting = asyncio.create_task(mail_worker.run()), asyncio.create_task(shared.counters.run())

            def stop() -> None:
                # Only once: a second cancellation would abort the mail that is being sent.
                if not task.cancelling():
                    task.cancel()

            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, stop)
            await asyncio.wait([task])
            # The counts of the last mails are saved before the end.
            counting.cancel()
            await asyncio.wait([counting])
            if not task.cancelled():
                task.result()


@click.command()
def worker() -> None:
    """Send the mail that waits in the outbox, until stopped."""
    logs.set_up()
    settings = load_settings()
    for warning in setting_warnings():
        log.warning(warning)
    asyncio.run(_work(settings))
