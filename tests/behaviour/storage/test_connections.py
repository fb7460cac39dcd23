"""Statements, transactions and snapshots take turns on the connections of one pool."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress

import pytest
from sqlalchemy import bindparam, func, select, text

from database.engine import Database, open_database
from database.repositories import Db
from devstack.stack import Stack
from models.errors import Unavailable
from models.settings.servers import DatabaseSettings

_numbers = itertools.count(1)


def settings_for(stack: Stack, **more: object) -> DatabaseSettings:
    name = f"engine_{next(_numbers)}"
    stack.postgres.create_database(name, template="migrated")
    return DatabaseSettings.model_validate({"url": stack.postgres.url(name), **more})


@pytest.fixture
async def narrow(stack: Stack) -> AsyncIterator[Database]:
    """Two connections: a lost one is soon noticed."""
    async with open_database(settings_for(stack, pool_size=1, pool_overflow=1)) as opened:
        yield opened


async def add_role(db: Db, name: str) -> None:
    await db.connection.execute(text("INSERT INTO roles (name, description) VALUES (:name, '')"), {"name": name})


async def add_role_and_fail(database: Database, name: str) -> None:
    async with database.transaction() as db:
        await add_role(db, name)
        raise ZeroDivisionError


async def roles(database: Database) -> set[str]:
    async with database.statement() as db:
        return set((await db.connection.execute(text("SELECT name FROM roles"))).scalars())


async def isolation(db: Db) -> str:
    return str((await db.connection.execute(text("SHOW transaction_isolation"))).scalar_one())


async def test_a_failed_transaction_is_rolled_back_whatever_the_connection_did_before(narrow: Database) -> None:
    before = await roles(narrow)
    for number in range(5):
        with pytest.raises(ZeroDivisionError):
            await add_role_and_fail(narrow, f"undone-{number}")
        async with narrow.statement() as db:
            await add_role(db, f"statement-{number}")
        async with narrow.transaction() as db:
            await add_role(db, f"committed-{number}")
    assert await roles(narrow) - before == {f"{how}-{n}" for how in ("statement", "committed") for n in range(5)}


async def test_each_use_has_its_isolation_however_they_take_turns(narrow: Database) -> None:
    for _ in range(3):
        async with narrow.snapshot() as db:
            assert await isolation(db) == "repeatable read"
        async with narrow.statement() as db:
            assert await isolation(db) == "read committed"
        async with narrow.transaction() as db:
            assert await isolation(db) == "read committed"
        async with narrow.long_snapshot() as db:
            assert await isolation(db) == "repeatable read"


async def test_a_cancelled_statement_costs_no_connection(narrow: Database) -> None:
    chance = random.Random(2026)

    async def ask(number: int) -> None:
        async with narrow.statement() as db:
            asked = await db.connection.execute(text("SELECT CAST(:number AS integer)"), {"number": number})
            assert asked.scalar_one() == number

    for number in range(0, 400, 2):
        leaving = asyncio.create_task(ask(number))
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() / 500)
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving
        await ask(number + 1)
        async with narrow.transaction() as db:
            await db.connection.execute(text("SELECT 1"))


_SLEEP = select(func.pg_backend_pid(), func.pg_sleep(bindparam("seconds")))


async def test_a_connection_that_was_too_slow_is_not_used_again(stack: Stack) -> None:
    async with open_database(settings_for(stack, pool_size=1, pool_overflow=1, timeout=0.3)) as database:
        seen = set()
        for _ in range(5):
            async with database.statement() as db:
                seen.add((await db.connection.execute(_SLEEP, {"seconds": 0})).one()[0])
            with pytest.raises(Unavailable):
                async with database.statement() as db:
                    await db.connection.execute(_SLEEP, {"seconds": 1})
        assert len(seen) == 5


async def test_one_connection_is_enough_for_statements_and_transactions(stack: Stack) -> None:
    async with open_database(settings_for(stack, pool_size=1, pool_overflow=0)) as database:
        for _ in range(3):
            await roles(database)
            async with database.transaction() as db:
                await db.connection.execute(text("SELECT 1"))


async def test_transactions_get_every_connection_of_the_pool_after_statements(stack: Stack) -> None:
    async with open_database(settings_for(stack, pool_size=4, pool_overflow=2)) as database:
        for all_at_once in (database.transaction, database.snapshot, database.long_snapshot) * 2:
            await asyncio.gather(*(roles(database) for _ in range(6)))
            barrier = asyncio.Barrier(6)

            async def hold(begin: Callable[[], AbstractAsyncContextManager[Db]], barrier: asyncio.Barrier) -> None:
                async with begin() as db:
                    await db.connection.execute(text("SELECT 1"))
                    await barrier.wait()

            await asyncio.gather(*(hold(all_at_once, barrier) for _ in range(6)))


async def test_a_lost_connection_is_unavailable_whatever_error_the_driver_raises(stack: Stack) -> None:
    async with open_database(settings_for(stack, pool_size=6, pool_overflow=3)) as database:
        over = asyncio.Event()
        told: Counter[str] = Counter()

        async def go_on() -> None:
            while not over.is_set():
                try:
                    async with database.statement() as db:
                        await db.users.find_by_identifier("no-such-login")
                except Unavailable:
                    told["unavailable"] += 1
                else:
                    told["answered"] += 1

        asking = [asyncio.create_task(go_on()) for _ in range(4)]
        cut = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for _ in range(60):
            async with database.transaction() as db:
                await db.connection.execute(cut)
            await asyncio.sleep(0.02)
        over.set()
        await asyncio.gather(*asking)
        assert told["unavailable"] > 0 < told["answered"]


async def test_a_connection_that_postgresql_has_cut_fails_once_and_is_replaced(narrow: Database) -> None:
    await roles(narrow)
    with pytest.raises(Unavailable):
        async with narrow.statement() as db:
            await db.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await roles(narrow)
    # Cut while it is idle: no statement fails.
    async with narrow.transaction() as db:
        others = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await db.connection.execute(others)
    await asyncio.sleep(0.1)
    assert "user" in await roles(narrow)
