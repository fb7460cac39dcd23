"""The pool that hashes: few threads, low priority, a short queue."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from backend.passwords.hash_pool import HashPool
from models.errors import Unavailable
from tests.support.values.null_counters import null_counters


@pytest.fixture
def pool() -> Iterator[HashPool]:
    pool = HashPool(threads=2, queue_timeout=2.0, initial_estimate=1.0, counters=null_counters())
    yield pool
    pool.close()


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_hashing_threads_step_back_and_nobody_else_does(pool: HashPool) -> None:
    ours = _niceness()
    assert await pool.compute(_niceness) == max(ours, 10)
    assert _niceness() == ours


async def test_what_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back(pool: HashPool) -> None:
    gate = threading.Event()
    # At a second each, two run and four wait: the fifth to wait would begin after more than two seconds.
    accepted = [asyncio.ensure_future(pool.compute(gate.wait)) for _ in range(6)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refusal:
        await pool.compute(gate.wait)
    assert int(refusal.value.headers["Retry-After"]) >= 1
    gate.set()
    assert all(await asyncio.gather(*accepted))
    assert pool.expected_wait == 0


async def test_the_queue_is_judged_by_what_a_hash_costs_now(pool: HashPool) -> None:
    for _ in range(60):
        await pool.compute(int)
    gate = threading.Event()
    # Cheap calls have taught the pool that a call takes next to nothing, so that many more may wait.
    waiting = [asyncio.ensure_future(pool.compute(gate.wait)) for _ in range(100)]
    await asyncio.sleep(0)
    gate.set()
    assert all(await asyncio.gather(*waiting))


async def test_a_failure_is_the_callers_and_frees_its_place(pool: HashPool) -> None:
    with pytest.raises(ZeroDivisionError):
        await pool.compute(divmod, 1, 0)
    assert pool.expected_wait == 0
