"""``make bench``: protected reads per second against an answer that needs no other server, in one run.

`GET /me` verifies a token and notices a log-out at once; `GET /health/live` costs only the framework. Two worker
processes and the load share the cores of this machine, so that only the ratio is meaningful.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean

from bench.client import BenchClient
from bench.service import BenchService, import_people, log_in
from devstack.stack import Stack

_SECONDS = 4.0
_ROUNDS = 3
_CLIENTS = (1, 16, 64)
_CALLS = ("/health/live", "/me")


async def _read(url: str, path: str, token: str, clients: int) -> int:
    """Return the number of answers to so many clients."""
    answered = 0
    end = time.perf_counter() + _SECONDS

    async def call() -> None:
        nonlocal answered
        client = await BenchClient.connect(url)
        while time.perf_counter() < end:
            status, _ = await client.get(path, token)
            if status != 200:
                raise RuntimeError(f"GET {path} answered {status}")
            answered += 1
        client.close()

    await asyncio.gather(*(call() for _ in range(clients)))
    return answered


def _count(url: str, path: str, token: str, clients: int) -> int:
    return asyncio.run(_read(url, path, token, clients))


def main() -> None:
    """Run the benchmark and print the figures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    with Stack(folder) as stack, BenchService(stack, workers=2).running() as service:
        [person] = import_people(service, folder, 1, iterations=1000)
        token = log_in(service, stack.mailbox, person)
        # The load runs in another process: its interpreter must not wait for this one.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as load:
            for clients in _CLIENTS:
                rates: dict[str, list[float]] = {path: [] for path in _CALLS}
                for _ in range(_ROUNDS):
                    for path in _CALLS:
                        answered = load.submit(_count, service.url, path, token, clients).result()
                        rates[path].append(answered / _SECONDS)
                live, me = (mean(rates[path]) for path in _CALLS)
                rounds = ", ".join(f"{b / a:.2f}" for a, b in zip(*rates.values(), strict=True))
                print(
                    f"{clients:3} clients: GET /health/live {live:.0f}/s, GET /me {me:.0f}/s = "
                    f"{me / live:.2f} of it ({rounds})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
