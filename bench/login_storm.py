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
from pathlib import Path
from statistics import mean, quantiles

import httpx

from bench.ceiling import hashes_per_second
from config import PBKDF2_FLOOR
from devstack.stack import Stack
from tests.conftest import migrated, serving_on
from tests.support.people import Person, Walker
from tests.support.service import Service

_SECONDS = 10.0
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
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Log-ins answered 202 per second."""
        return len(self.accepted) / self.seconds


async def _call(service: Service, person: Person, storm: Storm, end: float) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
        while time.perf_counter() < end:
            began = time.perf_counter()
            answer = await client.post("/login", json={"login": person.login, "password": person.password})
            if answer.status_code == httpx.codes.ACCEPTED:
                storm.accepted.append((time.perf_counter() - began) * 1000)
            elif answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                storm.refused += 1
                await asyncio.sleep(int(answer.headers["Retry-After"]))
            else:
                raise RuntimeError(answer.text)


async def _storm(service: Service, people: list[Person]) -> Storm:
    storm = Storm(len(people))
    began = time.perf_counter()
    await asyncio.gather(*(_call(service, person, storm, began + _SECONDS) for person in people))
    storm.seconds = time.perf_counter() - began
    return storm


async def _storm_beside_a_reader(service: Service, people: list[Person], token: str) -> tuple[Storm, list[float]]:
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.read_me", service.url, token, str(_SECONDS), stdout=asyncio.subprocess.PIPE
    )
    storm = await _storm(service, people)
    output, _ = await reader.communicate()
    return storm, json.loads(output)


async def _idle_reads(service: Service, token: str) -> list[float]:
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.read_me", service.url, token, "6", stdout=asyncio.subprocess.PIPE
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
    rate = len(accepted) / sum(storm.seconds for storm in storms)
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
