"""``make bench``: how much of the hash ceiling log-ins reach, and what a storm of them does to a cheap read.

Two worker processes, full-cost hashes, real PostgreSQL, Valkey and SMTP, all on this machine. A refused caller waits
as long as ``Retry-After`` says; only answers 202 count.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from statistics import mean, quantiles

from bench.caller import Caller
from bench.ceiling import hashes_per_second
from config import PBKDF2_FLOOR
from devstack.stack import Stack
from tests.conftest import migrated, serving_on
from tests.support.people import Person, Walker
from tests.support.service import Service

_SECONDS = 10.0
_WARM_UP = 2.0
_ROUNDS = 3
_CALLERS = (16, 64)


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


@dataclass
class Storm:
    """What a number of callers met."""

    callers: int
    accepted: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def rate(self) -> float:
        """Log-ins answered 202 per second."""
        return len(self.accepted) / _SECONDS


async def _call(service: Service, person: Person, storm: Storm, window: tuple[float, float]) -> None:
    begin, end = window
    caller = await Caller.connect(service.url)
    while (asked := time.perf_counter()) < end:
        status, headers = await caller.post("/login", {"login": person.login, "password": person.password})
        answered = time.perf_counter()
        counts = begin <= answered < end
        if status == HTTPStatus.ACCEPTED:
            if counts:
                storm.accepted.append((answered - asked) * 1000)
        elif status == HTTPStatus.SERVICE_UNAVAILABLE:
            storm.refused += counts
            await asyncio.sleep(int(headers["retry-after"]))
        else:
            raise RuntimeError(f"POST /login answered {status}")
    caller.close()


async def _storm(service: Service, people: list[Person]) -> Storm:
    """Let everybody call at once; what is answered in the first moments and in the last ones does not count."""
    storm = Storm(len(people))
    begin = time.perf_counter() + _WARM_UP
    await asyncio.gather(*(_call(service, person, storm, (begin, begin + _SECONDS)) for person in people))
    return storm


def _reading(service: Service, token: str, seconds: float) -> tuple[str, ...]:
    return sys.executable, "-m", "bench.read_me", service.url, token, str(seconds)


async def _storm_beside_a_reader(service: Service, people: list[Person], token: str) -> tuple[Storm, list[float]]:
    reader = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.read_me",
        service.url,
        token,
        str(_WARM_UP + _SECONDS),
        stdout=asyncio.subprocess.PIPE,
    )
    storm = await _storm(service, people)
    output, _ = await reader.communicate()
    return storm, json.loads(output)


async def _idle_reads(service: Service, token: str) -> list[float]:
    reader = await asyncio.create_subprocess_exec(
        *_reading(service, token, 2 * _SECONDS), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await reader.communicate()
    reads: list[float] = json.loads(output)
    return reads


def _people(service: Service, stack: Stack, number: int) -> list[Person]:
    """Register them with the real thing."""
    with service.client() as client:
        walker = Walker(client, stack.mailbox)
        people = [Person(f"p{i}@example.com", f"person-{i}", "correct horse battery") for i in range(number)]
        for i, person in enumerate(people):
            print(f"\rRegistering {i + 1} of {number} people …", end="", flush=True)
            walker.register(person)
        print()
    return people


def _report(storms: list[Storm], ceilings: list[float], reads: list[float], idle_p99: float) -> None:
    accepted = [milliseconds for storm in storms for milliseconds in storm.accepted]
    rate = len(accepted) / (_SECONDS * len(storms))
    ceiling = mean(ceilings)
    p99 = _percentile(reads, 99)
    print(
        f"\n{storms[0].callers} callers, {len(storms)} rounds of {_SECONDS:g} s, each after a look at the ceiling:\n"
        f"  ceiling    {ceiling:.1f} hashes/s ({', '.join(f'{one:.1f}' for one in ceilings)})\n"
        f"  log-ins    {rate:.1f}/s = {rate / ceiling:.2f} of the ceiling "
        f"({', '.join(f'{storm.rate / one:.2f}' for storm, one in zip(storms, ceilings, strict=True))})\n"
        f"             p50 {_percentile(accepted, 50):.0f} ms, p99 {_percentile(accepted, 99):.0f} ms, "
        f"{sum(storm.refused for storm in storms)} refused\n"
        f"  GET /me    p50 {_percentile(reads, 50):.1f} ms, p99 {p99:.1f} ms = {p99 / idle_p99:.1f} x idle"
    )


def main() -> None:
    """Run everything and print the figures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    full_cost = {"ENVIRONMENT": "production", "HASH_ITERATIONS": str(PBKDF2_FLOOR)}
    with Stack(folder) as stack:
        migrated(stack)
        with serving_on(stack, folder, workers=2, **full_cost) as service:
            people = _people(service, stack, max(_CALLERS))
            with service.client() as client:
                token = Walker(client, stack.mailbox).log_in(people[0])
            print("GET /me, idle …", flush=True)
            idle = asyncio.run(_idle_reads(service, token))
            print(f"  p50 {_percentile(idle, 50):.1f} ms, p99 {_percentile(idle, 99):.1f} ms")
            for callers in _CALLERS:
                storms, ceilings, reads = [], [], []
                for number in range(_ROUNDS):
                    print(f"{callers} callers, round {number + 1} of {_ROUNDS} …", flush=True)
                    ceilings.append(hashes_per_second(PBKDF2_FLOOR, _SECONDS / 2))
                    storm, read = asyncio.run(_storm_beside_a_reader(service, people[:callers], token))
                    storms.append(storm)
                    reads += read
                _report(storms, ceilings, reads, _percentile(idle, 99))


if __name__ == "__main__":
    main()
