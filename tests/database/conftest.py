"""A database of its own for each test, migrated and empty."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from database.engine import Database, open_database
from devstack.stack import Stack
from models.settings.groups import DatabaseSettings

_numbers = itertools.count(1)


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[Database]:
    name = f"database_{next(_numbers)}"
    stack.postgres.create_database(name, template="migrated")
    async with open_database(DatabaseSettings.model_validate({"url": stack.postgres.url(name)})) as opened:
        yield opened
    stack.postgres.drop_database(name)
