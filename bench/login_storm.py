"""``make bench``: log-ins per second against the hash ceiling, and the delay of a cheap read during a storm of log-ins.

Two worker processes, full-cost hashes, real PostgreSQL, Valkey and SMTP, all on this machine. A refused client waits
as long as ``Retry-After`` says; only answers 202 count. Each user logs in once: repeated log-ins are mailed longer
codes, whose cost is not measured here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from statistics import median, quantiles

from bench.client import BenchClient
from bench.service import PASSWORD, BenchService, import_people, log_in
from bench.sink import Sink
from devstack.service import ROOT
from devstack.stack import Stack
from models.settings.rules import PBKDF2_FLOOR

_SECONDS = 8.0
_WARM_UP = 2.0
_ROUNDS = 5
_CLIENTS = (16, 64)
_PEOPLE = 5000


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


@dataclass
class Storm:
    """The answers to a number of clients."""

    clients: int
    accepted: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def rate(self) -> float:
        """Return the log-ins per second that were answered 202."""
        return len(self.accepted) / _SECONDS


async def _call(service: BenchService, people: Iterator[str], storm: Storm, window: tuple[float, float]) -> None:
    begin, end = window
    client = await BenchClient.connect(service.url)
    person = next(people)
    while (asked := time.perf_counter()) < end:
        status, headers = await client.post("/login", {"login": person, "password": PASSWORD})
        answered = time.perf_counter()
        counts = begin <= answered < end
        if status == HTTPStatus.ACCEPTED:
            person = next(people)
            if counts:
                storm.accepted.append((answered - asked) * 1000)
        elif status == HTTPStatus.SERVICE_UNAVAILABLE:
            storm.refused += counts
            await asyncio.sleep(int(headers["retry-after"]))
        else:
            raise RuntimeError(f"POST /login answered {status}")
    client.close()


async def _read(service: BenchService, token: str, seconds: float) -> list[float]:
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.reader", service.url, token, str(seconds)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await reader.communicate()
    reads: list[float] = json.loads(output)
    return reads


async def _storm_beside_a_reader(
    service: BenchService, people: Iterator[str], clients: int, token: str
) -> tuple[Storm, list[float]]:
    """Let all clients call at once; answers of the first and the last moments do not count."""
    reading = asyncio.create_task(_read(service, token, _WARM_UP + _SECONDS))
    storm = Storm(clients)
    begin = time.perf_counter() + _WARM_UP
    await asyncio.gather(*(_call(service, people, storm, (begin, begin + _SECONDS)) for _ in range(clients)))
    return storm, await reading


def _ceiling() -> float:
    """Return hashes per second, in a new process: the speed depends a little on where its memory lies."""
    asked = subprocess.run(
        [sys.executable, "-m", "bench.ceiling", str(PBKDF2_FLOOR), str(_SECONDS / 2)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return float(asked.stdout)


def _report(storms: list[Storm], ceilings: list[float], reads: list[float], idle_p99: float) -> None:
    accepted = [milliseconds for storm in storms for milliseconds in storm.accepted]
    # The median: another load on the machine takes a fifth of it for seconds, in some rounds only.
    rate, ceiling = median(storm.rate for storm in storms), median(ceilings)
    p99 = _percentile(reads, 99)
    print(
        f"\n{storms[0].clients} clients, {len(storms)} rounds of {_SECONDS:g} s, each after the ceiling is measured:\n"
        f"  ceiling    {ceiling:.1f} hashes/s ({', '.join(f'{one:.1f}' for one in ceilings)})\n"
        f"  log-ins    {rate:.1f}/s = {rate / ceiling:.2f} of the ceiling "
        f"({', '.join(f'{storm.rate:.1f}' for storm in storms)})\n"
        f"             p50 {_percentile(accepted, 50):.0f} ms, p99 {_percentile(accepted, 99):.0f} ms, "
        f"{sum(storm.refused for storm in storms)} refused\n"
        f"  GET /me    p50 {_percentile(reads, 50):.1f} ms, p99 {p99:.1f} ms = {p99 / idle_p99:.1f} x idle"
    )


def main() -> None:
    """Run the benchmark and print the figures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    full_cost = {"ENVIRONMENT": "production", "HASH_ITERATIONS": str(PBKDF2_FLOOR)}
    with (
        Stack(folder) as stack,
        Sink() as sink,
        BenchService(stack, workers=2, **full_cost, SMTP_URL=sink.url).running() as service,
    ):
        people = import_people(service, folder, _PEOPLE, PBKDF2_FLOOR)
        token = log_in(service, sink, people[0])
        print("GET /me, idle …", flush=True)
        idle = asyncio.run(_read(service, token, 3 * _SECONDS))
        print(f"  p50 {_percentile(idle, 50):.1f} ms, p99 {_percentile(idle, 99):.1f} ms")
        in_turn = itertools.cycle(people)
        for clients in _CLIENTS:
            storms, ceilings, reads = [], [], []
            for number in range(_ROUNDS):
                print(f"{clients} clients, round {number + 1} of {_ROUNDS} …", flush=True)
                ceilings.append(_ceiling())
                storm, read = asyncio.run(_storm_beside_a_reader(service, in_turn, clients, token))
                storms.append(storm)
                reads += read
            _report(storms, ceilings, reads, _percentile(idle, 99))


if __name__ == "__main__":
    main()
