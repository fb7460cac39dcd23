"""Reads GET /me at a steady pace in a process of its own: ``python -m bench.read_me URL TOKEN SECONDS``."""

from __future__ import annotations

import json
import sys
import time

import httpx

_PACE = 0.1
"""Seconds between two reads: enough to see how long one takes, too few to take much from what is measured beside."""


def read(url: str, token: str, seconds: float) -> list[float]:
    """How long each read took, in milliseconds."""
    took = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            client.get("/me").raise_for_status()
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(max(0.0, _PACE - (time.perf_counter() - began)))
    return took


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
