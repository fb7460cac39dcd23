"""Reads GET /me at a steady pace in a process of its own: ``python -m bench.read_me URL TOKEN SECONDS``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from http import HTTPStatus

from bench.client import BenchClient

_PACE = 0.1
"""Seconds between two reads: enough to see how long one takes, too few to take much from what is measured beside."""


async def read(url: str, token: str, seconds: float) -> list[float]:
    """How long each read took, in milliseconds."""
    took = []
    client = await BenchClient.connect(url)
    await client.get("/me", token)  # the first one finds nothing in the caches, and is no sample
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        status, _ = await client.get("/me", token)
        if status != HTTPStatus.OK:
            raise RuntimeError(f"GET /me answered {status}")
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(max(0.0, _PACE - (time.perf_counter() - began)))
    client.close()
    return took


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(sys.argv[1], sys.argv[2], float(sys.argv[3])))))
