"""Hashes on threads, so that the event loop does not wait: few threads of low priority, and a bounded queue."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from time import perf_counter
from typing import TypeVar

from backend.counters import Counters
from models.context.counters import Counter
from models.errors import Unavailable

_NICE = 10
"""Lower than everything that answers a cheap request, so that a storm of log-ins starves only itself."""

_Result = TypeVar("_Result")


def _lower_priority() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _timed(function: Callable[..., _Result], *arguments: object) -> tuple[_Result, float, float]:
    """Return the function's result, and when it began and ended."""
    began = perf_counter()
    return function(*arguments), began, perf_counter()


class HashPool:
    """Computes costly functions, one at a time on each thread, and refuses at once those that would wait too long."""

    def __init__(self, threads: int, queue_timeout: float, initial_estimate: float, counters: Counters) -> None:
        """``initial_estimate`` is the duration of one call in seconds, until the first ones have been timed."""
        self._counters = counters
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash", initializer=_lower_priority)
        self._threads = threads
        self._queue_timeout = queue_timeout
        self._seconds = initial_estimate
        self._waiting = 0

    @property
    def expected_wait(self) -> float:
        """Return how many seconds a new call would wait before it begins."""
        ahead = max(0, self._waiting + 1 - self._threads)
        return ahead / self._threads * self._seconds

    def refuse_when_full(self) -> None:
        """Refuse when a new call would wait too long.

        Raises:
            Unavailable: the expected wait is longer than ``queue_timeout``.
        """
        wait = self.expected_wait
        if wait > self._queue_timeout:
            self._counters.count(Counter.HASHES_REFUSED)
            raise Unavailable("Too many passwords are being checked.", retry_after=ceil(wait))

    async def compute(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Call the function on a thread, and return its result.

        Raises:
            Unavailable: see `refuse_when_full`; the function was not called.
        """
        self.refuse_when_full()
        self._waiting += 1
        asked = perf_counter()
        try:
            result, began, ended = await asyncio.get_running_loop().run_in_executor(
                self._pool, _timed, function, *arguments
            )
        finally:
            self._waiting -= 1
        # A moving mean: the wait is estimated from what a hash costs now, with the load of other processes.
        self._seconds += (ended - began - self._seconds) / 8
        self._counters.count(Counter.HASHES)
        self._counters.count(Counter.HASH_SECONDS, by=ended - began)
        self._counters.count(Counter.HASH_WAIT_SECONDS, by=began - asked)
        return result

    def close(self) -> None:
        """Drop the waiting calls; those that have begun end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
