"""The mail worker's stop, at whatever moment it comes."""

from __future__ import annotations

import asyncio

import pytest

from backend.mail.enqueue import MailQueue
from backend.mail.worker import MailWorker
from database.engine import open_database
from devstack.stack import Stack
from models.settings.servers import DatabaseSettings
from tests.support.values.null_counters import null_counters


@pytest.mark.parametrize("rounds", range(6))
async def test_a_worker_that_is_stopped_as_it_is_called_stops(stack: Stack, rounds: int) -> None:
    name = f"worker_{rounds}"
    stack.postgres.create_database(name, template="migrated")
    url = stack.postgres.url(name)
    async with open_database(DatabaseSettings.model_validate({"url": url})) as database:
        queue = MailQueue(database, has_local_worker=True)
        worker = MailWorker(database, url, queue, {}, (), null_counters(), concurrency=4)
        working = asyncio.create_task(worker.run())
        await asyncio.sleep(0.3)
        queue.wakeup.set()
        for _ in range(rounds):
            await asyncio.sleep(0)
        working.cancel()
        _, still_working = await asyncio.wait([working], timeout=5)
        assert not still_working
