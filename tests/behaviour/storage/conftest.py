"""A migrated, empty database for each test, and a database number of the real Valkey for tests of single scripts."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import BlockingConnectionPool, Redis

from database.engine import Database, open_database
from devstack.stack import Stack
from models.settings.servers import DatabaseSettings
from redis_tools.pipeline import Valkey

_numbers = itertools.count(1)
_LAST_DATABASE = 255  # services take theirs from the first one on


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[Database]:
    name = f"database_{next(_numbers)}"
    stack.postgres.create_database(name, template="migrated")
    async with open_database(DatabaseSettings.model_validate({"url": stack.postgres.url(name)})) as opened:
        yield opened
    stack.postgres.drop_database(name)


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    pool = BlockingConnectionPool.from_url(stack.valkey.url(_LAST_DATABASE), max_connections=50)
    async with Redis.from_pool(pool) as connected:
        yield connected


@pytest.fixture
def valkey(redis: Redis) -> Valkey:
    return Valkey(redis.connection_pool, timeout=5)


@pytest.fixture
def name() -> str:
    """A key that no other test counts."""
    return f"test:{{{next(_numbers)}}}"
