"""What holds for a process as a whole."""

from __future__ import annotations

import asyncio
import signal

from application import stop_process_on_failure


async def _fail() -> None:
    raise RuntimeError("a mistake of ours")


async def test_a_process_ends_in_order_when_one_of_its_duties_has_failed() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    try:
        ended = asyncio.create_task(asyncio.sleep(3600))
        ended.add_done_callback(stop_process_on_failure)
        ended.cancel()
        await asyncio.wait([ended])
        await asyncio.sleep(0.05)
        assert not told.is_set(), "a duty that was told to stop is no failure"
        failing = asyncio.create_task(_fail())
        failing.add_done_callback(stop_process_on_failure)
        await asyncio.wait_for(told.wait(), 5)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
