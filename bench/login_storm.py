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
from statistics import quantiles

import httpx

from bench.ceiling import hashes_per_second
from config import PBKDF2_FLOOR
from devstack.stack import Stack
from tests.conftest import migrated, serving_on
from tests.support.people import Person, Walker
from tests.support.service import Service

_SECONDS = 15.0
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


def main() -> None:
    """Run everything once and print the figures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    print("Raw hashes, first measurement …")
    before = hashes_per_second(PBKDF2_FLOOR, 6)
    with Stack(folder) as stack:
        migrated(stack)
        with serving_on(
            stack, folder, workers=2, ENVIRONMENT="production", HASH_ITERATIONS=str(PBKDF2_FLOOR)
        ) as service:
            people = _people(service, stack, max(_CALLERS))
            with service.client() as client:
                token = Walker(client, stack.mailbox).log_in(people[0])
            print("GET /me, idle …")
            idle = asyncio.run(_idle_reads(service, token))
            storms = []
            for callers in _CALLERS:
                print(f"Storm of {callers} callers for {_SECONDS:g} s …")
                storms.append(asyncio.run(_storm_beside_a_reader(service, people[:callers], token)))
    print("Raw hashes, second measurement …")
    after = hashes_per_second(PBKDF2_FLOOR, 6)
    ceiling = (before + after) / 2
    idle_p99 = _percentile(idle, 99)
    print(f"\nceiling: {ceiling:.1f} hashes/s ({before:.1f} before, {after:.1f} after)")
    print(f"GET /me idle: p50 {_percentile(idle, 50):.1f} ms, p99 {idle_p99:.1f} ms")
    for storm, reads in storms:
        p99 = _percentile(reads, 99)
        print(
            f"{storm.callers} callers: {storm.rate:.1f} log-ins/s = {storm.rate / ceiling:.2f} of the ceiling, "
            f"p50 {_percentile(storm.accepted, 50):.0f} ms, p99 {_percentile(storm.accepted, 99):.0f} ms, "
            f"{storm.refused} refused; GET /me meanwhile: p50 {_percentile(reads, 50):.1f} ms, p99 {p99:.1f} ms "
            f"= {p99 / idle_p99:.1f} x idle"
        )


if __name__ == "__main__":
    main()
