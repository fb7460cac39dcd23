"""Exchanges with a real Valkey: whatever happens to one of them, the next one is given its own answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ResponseError

from devstack.stack import Stack
from models.errors import Unavailable
from redis_tools.command import Command, Script
from redis_tools.pipeline import Valkey

_LAST_DATABASE = 255


def echo(word: str) -> Command[str]:
    return Command(("ECHO", word), bytes.decode)


def wait_in_vain(seconds: float) -> Command[object]:
    return Command(("BLPOP", "never-pushed", str(seconds)), lambda answer: answer)


@pytest.fixture
async def narrow(stack: Stack) -> AsyncIterator[BlockingConnectionPool]:
    """Two connections: a lost one, or an answer left in one, is soon noticed."""
    pool = BlockingConnectionPool.from_url(stack.valkey.url(_LAST_DATABASE), max_connections=2, timeout=1)
    yield pool
    await pool.aclose()


async def test_the_answer_to_a_cancelled_command_is_not_read_by_the_next_one(narrow: BlockingConnectionPool) -> None:
    valkey, chance = Valkey(narrow, timeout=5), random.Random(2026)

    async def ask(number: int) -> None:
        calls = [echo(f"{number}-{place}") for place in range(5)]
        assert await valkey.pipeline(*calls) == [f"{number}-{place}" for place in range(5)]

    async def ask_and_leave(number: int) -> None:
        task = asyncio.create_task(ask(number))
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() / 1000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    for number in range(0, 1200, 4):
        await asyncio.gather(*(ask_and_leave(number + place) for place in range(3)), ask(number + 3))


async def test_a_late_answer_is_unavailable_and_costs_no_connection(narrow: BlockingConnectionPool) -> None:
    valkey = Valkey(narrow, timeout=0.05)
    for number in range(10):
        with pytest.raises(Unavailable):
            await valkey.execute(wait_in_vain(0.2))
        assert await valkey.execute(echo(str(number))) == str(number)


async def test_a_refused_command_leaves_the_others_of_its_exchange_and_the_connection_whole(
    narrow: BlockingConnectionPool,
) -> None:
    valkey = Valkey(narrow, timeout=5)
    for number in range(10):
        with pytest.raises(Exception, match="wrong number of arguments"):
            await valkey.pipeline(echo("before"), Command(("ECHO",), bytes.decode), echo("after"))
        assert await valkey.execute(echo(str(number))) == str(number)


async def test_a_script_that_valkey_has_forgotten_runs_once_and_beside_its_neighbours(
    narrow: BlockingConnectionPool,
) -> None:
    valkey = Valkey(narrow, timeout=5)
    count = Script("return redis.call('INCR', KEYS[1])")
    place = "test:{forgotten}"

    def counted() -> Command[int]:
        return count.command([place], [], int)

    await valkey.execute(Command(("DEL", place), int))
    for number in range(3):
        await valkey.execute(Command(("SCRIPT", "FLUSH"), lambda answer: answer))
        assert await valkey.pipeline(counted(), echo("beside"), counted()) == [2 * number + 1, "beside", 2 * number + 2]


async def test_a_busy_valkey_is_unavailable_until_its_script_ends(valkey: Valkey, stack: Stack) -> None:
    url = stack.valkey.url(_LAST_DATABASE)
    # Connected before: a busy server accepts no new connection.
    async with Redis.from_url(url) as endless, Redis.from_url(url, single_connection_client=True) as rescuer:
        await rescuer.config_set("busy-reply-threshold", 1)
        script = asyncio.ensure_future(endless.eval("while true do end", 0))
        await asyncio.sleep(0.2)
        try:
            with pytest.raises(Unavailable):
                await valkey.execute(echo("free?"))
        finally:
            await rescuer.script_kill()
            with pytest.raises(ResponseError):
                await script
            await rescuer.config_set("busy-reply-threshold", 5000)
    assert await valkey.execute(echo("free?")) == "free?"
