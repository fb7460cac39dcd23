"""The connection to Valkey or Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeout,
)
from redis.maint_notifications import MaintNotificationsConfig

from config import RedisSettings
from models.errors import Unavailable

_AWAY = (
    RedisConnectionError,
    RedisTimeout,
    BusyLoadingError,
    ReadOnlyError,
    MasterDownError,
    ClusterDownError,
    TryAgainError,
    OutOfMemoryError,
    OSError,
)

# A disk that cannot be written to stops writes with MISCONF, for which the client has no class of its own.
_AWAY_ANSWERS = ("MISCONF", "OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS")


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Raise `Unavailable` in place of whatever says that Valkey cannot answer now; let mistakes pass as they are."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable from error
    except ResponseError as error:
        if any(word in str(error) for word in _AWAY_ANSWERS):
            raise Unavailable from error
        raise


@asynccontextmanager
async def open_redis(settings: RedisSettings) -> AsyncIterator[Redis]:
    """Open the pool and fill it, so that the first burst does not have to; a Valkey that is late stops no start.

    Nothing is retried: a guess whose answer was lost may have been counted, and must not be counted twice.
    """
    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=settings.pool_size,
        timeout=settings.timeout,
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.connect_timeout,
        retry=Retry(NoBackoff(), 0),
        client_name="auth",
        # A managed service's notices, which Valkey does not send; while the client listens for them it takes a
        # connection that the server has closed for one with news, and the first request after a restart fails.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    redis = Redis.from_pool(pool)
    try:
        # A server that cannot be reached now is asked again by the first request, which says so.
        await asyncio.gather(*(redis.echo("alive") for _ in range(settings.pool_size)), return_exceptions=True)
        yield redis
    finally:
        await redis.aclose()
