"""threats.md 2.3 and guess_sim.py, part D: what the ladder costs honest people, on the real ladder and its servers."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.types import Interval, LargeBinary

from backend.protection.code_length_ladder import CodeLengthLadder
from database.engine import Database, open_database
from database.guess_budgets import BudgetKey
from redis_tools.command import Command, ignore
from redis_tools.connection import open_valkey
from redis_tools.flow_store import FlowStore
from redis_tools.pipeline import Valkey
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.service.settings import settings_of

DAY = 86_400.0
_OVER = 1_900.0
"""Seconds after which nobody acts on a flow any more, and the worker settles it."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What honest people do; the numbers are those of guess_sim.py, part D, and of issue 3."""

    logins_a_day: float = 0.7
    new_device: float = 0.05
    typo: float = 0.03
    late_mail: float = 0.03
    quits: float = 0.2
    abandons: float = 0.03
    """Begins, and never looks at the mail."""
    begins_anew: float = 0.3
    """Of those whose code did not work or come: a new flow, instead of another code for the old one."""


HABITS = Habits()

_MOVE = [
    text("UPDATE guess_budgets SET refilled_at = refilled_at - :span WHERE subject = :subject"),
    text("UPDATE guess_reservations SET settle_at = settle_at - :span WHERE subject = :subject"),
]
_MOVED = [one.bindparams(bindparam("span", type_=Interval), bindparam("subject", type_=LargeBinary)) for one in _MOVE]


@dataclass(frozen=True, slots=True)
class Servers:
    """The real ladder on real servers. Time passes for each account by itself, so that many live side by side."""

    database: Database
    valkey: Valkey
    ladder: CodeLengthLadder

    async def let_pass(self, subject: bytes, seconds: float, *, settles: bool) -> None:
        async with self.database.statement() as db:
            for statement in _MOVED[: 2 if settles else 1]:
                await db.connection.execute(statement, {"span": timedelta(seconds=seconds), "subject": subject})

    async def leave(self, flow_id: bytes, wrong: int) -> None:
        """A flow that nobody goes on with: so many wrong guesses are all that is known of it."""
        await self.valkey.execute(Command(("SET", f"spent:{{{flow_id.hex()}}}", wrong, "EX", 3600), ignore))

    async def succeed(self, flow_id: bytes) -> None:
        async with self.database.statement() as db:
            assert await db.used_flows.mark(flow_id, "code")


@asynccontextmanager
async def _servers(service: Service) -> AsyncIterator[Servers]:
    settings = settings_of(service.environment)
    async with open_database(settings.database) as database, open_valkey(settings.redis) as valkey:
        rungs = settings.rungs(device=False), settings.rungs(device=True)
        yield Servers(
            database, valkey, CodeLengthLadder(database, FlowStore(valkey), *rungs, flow_ttl=settings.flow.ttl)
        )


@dataclass(slots=True)
class Customer:
    """One account for one year."""

    servers: Servers
    rng: random.Random
    remembers_device: bool
    refunds: bool = True
    lengths: Counter[int] = field(default_factory=Counter)
    _subject: bytes = field(default_factory=lambda: uuid4().bytes)
    _device: str = field(default_factory=lambda: secrets.token_hex(16))
    _unsettled: bool = False
    _gone: bool = False

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    async def live(self, seconds: float) -> Counter[int]:
        """Log in every now and then, for so long; return how many codes of which length were mailed."""
        while (pause := self.rng.expovariate(HABITS.logins_a_day / DAY)) < seconds:
            seconds -= pause
            await self._pass(max(pause, _OVER))
            await self._log_in()
        return self.lengths

    async def _pass(self, seconds: float) -> None:
        await self.servers.let_pass(self._subject, seconds, settles=self._unsettled)
        if self._unsettled and seconds >= _OVER and self.refunds:
            await self.servers.ladder.refund_unused()
            self._unsettled = False

    async def _log_in(self) -> None:
        known = self.remembers_device and not self._chance(HABITS.new_device)
        whose = BudgetKey(self._subject, "login", self._device if known else "")
        while True:
            flow_id = secrets.token_bytes(16)
            digits = await self.servers.ladder.reserve(flow_id, whose)
            wrong = await self._try_codes(digits)
            if wrong is None:
                if self.refunds:
                    await self.servers.succeed(flow_id)
                return
            await self.servers.leave(flow_id, wrong)
            self._unsettled = True
            if self._gone:
                return
            await self._pass(90)

    async def _try_codes(self, digits: int) -> int | None:
        """The codes of one flow, resent ones among them: None when one was right, else the wrong guesses."""
        wrong = 0
        self._gone = self._chance(HABITS.abandons)
        while True:
            self.lengths[digits] += 1
            if self._gone:
                return wrong
            if not self._chance(HABITS.late_mail):
                while wrong < 3 and self._chance(HABITS.typo):
                    wrong += 1
                if wrong < 3:
                    return None
            self._gone = self._chance(HABITS.quits)
            if self._gone or wrong == 3 or self._chance(HABITS.begins_anew):
                return wrong
            await self._pass(90)


@pytest.fixture
def unstarted(new_service: Callable[..., Service]) -> Service:
    return new_service(**{**AS_SHIPPED, "DATABASE_TIMEOUT": "5"})


async def _live(service: Service, count: int, seconds: float, *, devices: bool, refunds: bool = True) -> Counter[int]:
    """So many customers for so long, some of them side by side."""
    rng = random.Random(5)
    lengths: Counter[int] = Counter()
    async with _servers(service) as servers:
        queue = [Customer(servers, random.Random(rng.random()), devices, refunds) for _ in range(count)]

        async def serve() -> None:
            while queue:
                lengths.update(await queue.pop().live(seconds))

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(serve())
    return lengths


def _share_of_four(lengths: Counter[int]) -> float:
    return lengths[4] / lengths.total()


@pytest.mark.parametrize(("devices", "least"), [(True, 0.99), (False, 0.98)], ids=["known devices", "unknown devices"])
async def test_b6_honest_people_keep_four_digits(
    unstarted: Service, *, devices: bool, least: float, full_counts: bool
) -> None:
    people, days = (300, 365) if full_counts else (25, 180)
    lengths = await _live(unstarted, people, days * DAY, devices=devices)
    # As many codes as the habits say: about one for each log-in, and some more.
    assert lengths.total() >= people * days * HABITS.logins_a_day * 0.9
    assert _share_of_four(lengths) >= least, lengths


async def test_b6_without_what_comes_back_honest_people_would_lose_them(unstarted: Service) -> None:
    """Whether the measure can fail at all: nothing is refunded here, and most codes are longer."""
    lengths = await _live(unstarted, 4, 120 * DAY, devices=False, refunds=False)
    assert _share_of_four(lengths) < 0.2, lengths
