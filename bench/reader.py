"""Reads GET /me at a steady pace, in a separate process: ``python -m bench.reader URL TOKEN SECONDS``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from http import HTTPStatus

from bench.client import BenchClient

_PACE = 0.1
"""Seconds between two reads: short enough for many samples, long enough not to disturb the other measurement."""


async def read(url: str, token: str, seconds: float) -> list[float]:
    """Return how long each read took, in milliseconds."""
    took = []
    client = await BenchClient.connect(url)
    await client.get("/me", token)  # not counted: it fills the caches
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
