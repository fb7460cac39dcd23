"""The connection to Valkey or Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from models.settings.groups import RedisSettings
from redis_tools.pipeline import Command, Valkey, ignore


@asynccontextmanager
async def open_valkey(settings: RedisSettings) -> AsyncIterator[Valkey]:
    """Open the pool and fill it, so that the first burst does not have to; a Valkey that is late stops no start.

    Nothing is retried: a guess whose answer was lost may have been counted, and must not be counted twice.
    """
    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=settings.pool_size,
        timeout=settings.timeout,
        # One deadline for all of an exchange is cheaper than the library's, one for each of its steps.
        socket_timeout=None,
        socket_connect_timeout=settings.connect_timeout,
        retry=Retry(NoBackoff(), 0),
        client_name="auth",
        # A managed service's notices, which Valkey does not send; while the client listens for them it takes a
        # connection that the server has closed for one with news, and the first request after a restart fails.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    valkey = Valkey(pool, settings.timeout)
    try:
        # A server that cannot be reached now is asked again by the first request, which says so.
        alive = Command(("ECHO", "alive"), ignore)
        await asyncio.gather(*(valkey.execute(alive) for _ in range(settings.pool_size)), return_exceptions=True)
        yield valkey
    finally:
        await pool.aclose()
