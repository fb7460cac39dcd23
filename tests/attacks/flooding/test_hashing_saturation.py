"""threats.md, row 56: two hundred callers who all want a hash, and everybody else who wants none.

What takes how long is compared within the one run: a machine may be as slow and as busy as it likes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median

from bench.client import BenchClient
from models.settings.rules import PBKDF2_FLOOR
from tests.conftest import Serving
from tests.support.service.process import Service
from tests.support.users.people import Person, new_person

CALLERS = 200
LEAST_A_SECOND = 4
"""Log-ins that finish, on two cores that have much else to do."""


@dataclass
class Storm:
    """What everybody met while it lasted: seconds, by kind of call and by status."""

    service: Service
    ends: float
    took: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    async def _timed(self, caller: BenchClient, path: str, body: dict[str, str]) -> tuple[int, dict[str, str]]:
        asked = time.perf_counter()
        status, headers = await caller.post(path, body)
        self.took.setdefault((path, status), []).append(time.perf_counter() - asked)
        return status, headers

    async def log_in(self, person: Person) -> None:
        caller = await BenchClient.connect(self.service.url)
        while time.perf_counter() < self.ends:
            status, headers = await self._timed(caller, "/login", {"login": person.login, "password": person.password})
            if status != 202:
                assert status == 503, status
                # A caller of good will would wait; these ones come back sooner, and are refused again.
                assert int(headers["retry-after"]) >= 1
                await asyncio.sleep(0.2)
        caller.close()

    async def use_what_needs_no_hash(self, refresh: str) -> None:
        caller = await BenchClient.connect(self.service.url)
        while time.perf_counter() < self.ends:
            await self._timed(caller, "/token/refresh", {"refresh_token": refresh})
            await self._timed(caller, "/logout", {"refresh_token": "of nobody"})
            await asyncio.sleep(0.02)
        caller.close()

    def times(self, path: str, status: int) -> list[float]:
        return self.took.get((path, status), [])


def test_row_56_a_storm_of_log_ins_starves_only_itself(serving: Serving, *, full_counts: bool) -> None:
    seconds = 60 if full_counts else 5
    shipped = {"ENVIRONMENT": "production", "HASH_ITERATIONS": str(PBKDF2_FLOOR)}
    # A strict single use would be another one's test: here one token is refreshed again and again.
    with serving(workers=2, REFRESH_REUSE_INTERVAL="60", **shipped) as service:
        with service.walker() as walk:
            people = [new_person("stormy") for _ in range(4)]
            for person in people:
                walk.register(person)
            refresh = walk.open_session(people[0]).refresh
        storm = Storm(service, time.perf_counter() + seconds)

        async def blow() -> None:
            async with asyncio.TaskGroup() as callers:
                for number in range(CALLERS):
                    callers.create_task(storm.log_in(people[number % len(people)]))
                callers.create_task(storm.use_what_needs_no_hash(refresh))

        asyncio.run(blow())
        accepted, refused = storm.times("/login", 202), storm.times("/login", 503)
        refreshed = storm.times("/token/refresh", 200)
        answers = Counter({key: len(times) for key, times in storm.took.items()})
        assert set(answers) == {("/login", 202), ("/login", 503), ("/token/refresh", 200), ("/logout", 401)}, answers
        assert len(accepted) >= LEAST_A_SECOND * seconds, answers
        # A refusal and a refresh overtake the queue, which is a second long and more.
        assert median(refused) < median(accepted) / 3, answers
        assert median(refreshed) < median(accepted) / 3, answers
        assert "unforeseen" not in service.log()
