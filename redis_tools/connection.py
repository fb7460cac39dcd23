"""Opens the connection to Valkey or Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from models.settings.servers import RedisSettings
from redis_tools.pipeline import Valkey


@asynccontextmanager
async def open_valkey(settings: RedisSettings) -> AsyncIterator[Valkey]:
    """Open the pool and fill it, so that the first burst of requests need not; a start does not depend on Valkey.

    Nothing is retried: a guess whose answer was lost may have been counted, and must not be counted twice.
    """
    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=settings.pool_size,
        timeout=settings.timeout,
        # `Valkey` has one deadline for a whole exchange; the library's, one for each of its steps, costs more.
        socket_timeout=None,
        socket_connect_timeout=settings.connect_timeout,
        retry=Retry(NoBackoff(), 0),
        client_name="auth",
        # A managed service sends these notices, Valkey does not. While the client listens for them, it takes a
        # connection that the server has closed for one with news, and the first request after a restart fails.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    valkey = Valkey(pool, settings.timeout)
    try:
        # If the server is unavailable now, the first request tries again and reports it.
        await asyncio.gather(*(valkey.ping() for _ in range(settings.pool_size)), return_exceptions=True)
        yield valkey
    finally:
        await pool.aclose()
