"""threats.md 2.3 and row 6: what a year of greedy guessing, from as many addresses as one likes, finds evaluated."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from backend.protection.code_length_ladder import CodeLengthLadder
from database.engine import open_database
from devstack.mailbox import Mailbox
from devstack.stack import Stack
from redis_tools.connection import open_valkey
from redis_tools.flow_store import FlowStore
from tests.conftest import Serving
from tests.support.requests.burst import burst
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.service.settings import settings_of
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.time_travel import let_pass
from tests.support.users.people import Person
from tests.support.users.user_factory import create_users

BUDGETS = {4: (6, 2), 6: (30, 52), 8: (200, 1000)}
"""Guesses at once, and a year, at each length (service.md, section 4)."""

YEAR = timedelta(days=365)
_HOUR = timedelta(hours=1)
_UNTIL_OVER = timedelta(minutes=32)
_MAILS_AT_ONCE = 5
_BETWEEN_LONG_CODES = timedelta(hours=12)
"""Nobody guesses at twelve digits; meanwhile the shorter budgets fill, and far less than one of them overflows."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A recovery that somebody has begun, and the code that was mailed for it, if any was."""

    person: Person
    key: str
    code: str


@dataclass(slots=True)
class Siege:
    """A service under attack: every request comes from an address of its own."""

    service: Service
    db: DatabaseInspector
    mailbox: Mailbox

    def begin(self, people: Sequence[Person]) -> list[Flow]:
        """One recovery for each of them; return when their mails have left, or never will."""
        already = [len(self.mailbox.mails(person.email)) for person in people]
        answers = burst(self.service, [("/recover", {"email": person.email}) for person in people])
        assert {answer.status for answer in answers} == {202}
        self.db.wait_until_all_mail_has_left()
        flows = []
        for person, before, answer in zip(people, already, answers, strict=True):
            mails = self.mailbox.mails(person.email)[before:]
            assert len(mails) <= 1
            flows.append(Flow(person, answer.json["session_key"], (mails[0].code or "") if mails else ""))
        return flows

    def guess(self, flow: Flow, count: int) -> None:
        """Wrong guesses, all at once; each is evaluated, for a code was mailed that one of them might have been."""
        wrong = [f"{(int(flow.code) + n) % 10 ** len(flow.code):0{len(flow.code)}d}" for n in range(1, count + 1)]
        body = {"session_key": flow.key}
        answers = burst(self.service, [("/recover/confirm", {**body, "code": code}) for code in wrong])
        assert [answer.outcome for answer in answers] == [(400, "wrong_code")] * count
        assert sorted(answer.json["attempts_left"] for answer in answers) == list(range(3 - count, 3))

    def succeed(self, flow: Flow) -> None:
        """The right code: whoever reads the mailbox has it."""
        [answer] = burst(self.service, [("/recover/confirm", {"session_key": flow.key, "code": flow.code})])
        assert answer.status == 200, answer.body

    def settle(self) -> None:
        """What the worker does each minute, now."""
        asyncio.run(_settle(self.service))


async def _settle(service: Service) -> None:
    settings = settings_of(service.environment)
    async with open_database(settings.database) as database, open_valkey(settings.redis) as valkey:
        rungs = settings.rungs(device=False), settings.rungs(device=True)
        await CodeLengthLadder(database, FlowStore(valkey), *rungs, flow_ttl=settings.flow.ttl).refund_unused()


@pytest.fixture(scope="module")
def siege(serving: Serving, stack: Stack) -> Iterator[Siege]:
    """As shipped, but for the thermostat: it would lengthen codes, and the ladder alone is under test."""
    settings = {**AS_SHIPPED, "THERMOSTAT_RECOVER": "1000000,1000000,1000000"}
    with serving(workers=2, **settings) as service, inspect_database(service) as db:
        yield Siege(service, db, stack.mailbox)


def _attack(siege: Siege, alone: Person, beside_the_owner: Person, horizon: timedelta) -> dict[Person, Counter[int]]:
    """Burn the code of every mail that can be had, as early as it can be had; return the guesses at each length."""
    evaluated = {alone: Counter[int](), beside_the_owner: Counter[int]()}
    passed, rounds = timedelta(), 0
    while passed < horizon:
        if rounds % 4 == 0:
            # The owner mistypes twice and comes in. What comes back must be his flow's three guesses, not the others.
            [own] = siege.begin([beside_the_owner])
            assert own.code, "the owner's mail did not come"
            siege.guess(own, 2)
            siege.succeed(own)
        flows = siege.begin([alone, beside_the_owner])
        worth_it = [flow for flow in flows if flow.code and len(flow.code) < 12]
        for flow in worth_it:
            siege.guess(flow, 3)
            evaluated[flow.person][len(flow.code)] += 3
        rounds += 1
        if rounds < _MAILS_AT_ONCE:
            continue
        hop = _HOUR if worth_it else _BETWEEN_LONG_CODES
        let_pass(siege.db, hop)
        passed += hop
    return evaluated


def test_row_06_a_greedy_year_evaluates_no_more_than_the_ladder_bears(siege: Siege, *, full_counts: bool) -> None:
    # An hour less than the year: the test itself takes time, too, and that comes on top.
    horizon = (YEAR if full_counts else timedelta(days=12)) - _HOUR
    alone, beside_the_owner = create_users(siege.db, 2, "besieged")
    for evaluated in _attack(siege, alone, beside_the_owner, horizon).values():
        assert set(evaluated) == set(BUDGETS), "a length is missing, or one was guessed that should not be"
        for digits, (burst_size, a_year) in BUDGETS.items():
            most = burst_size + a_year * (horizon + _HOUR) / YEAR
            assert evaluated[digits] <= most, (digits, evaluated)
            # Three at a time, and what overflowed before the rung was first needed: the attack was worth its name.
            assert evaluated[digits] >= max(most - 7, burst_size - 2), (digits, evaluated)
        if full_counts:
            assert evaluated[4] <= 8
            assert 75 <= evaluated[6] <= 82
            assert 1_190 <= evaluated[8] <= 1_200
    # The year has cost the owner nothing at /login: the ladder is one for each purpose.
    already = len(siege.mailbox.mails(alone.email))
    [answer] = burst(siege.service, [("/login", {"login": alone.login, "password": alone.password})])
    assert answer.status == 202
    siege.db.wait_until_all_mail_has_left()
    assert [len(mail.code or "") for mail in siege.mailbox.mails(alone.email)[already:]] == [4]


@dataclass(slots=True)
class Expected:
    """The ladder in plain numbers: what the next code's length must be."""

    left: dict[int, float] = field(default_factory=lambda: {digits: float(b) for digits, (b, _) in BUDGETS.items()})

    def let_pass(self, span: timedelta) -> None:
        for digits, (burst_size, a_year) in BUDGETS.items():
            self.left[digits] = min(burst_size, self.left[digits] + a_year * (span / YEAR))

    def lengths(self) -> set[int]:
        """The length that is due; two of them where the seconds that the test itself takes may tip the balance."""
        return {next((digits for digits in self.left if self.left[digits] + slack >= 3), 12) for slack in (0, 0.01)}

    def reserve(self, digits: int) -> None:
        if digits in self.left:
            self.left[digits] = max(0.0, self.left[digits] - 3)

    def refund(self, digits: int, guesses: int) -> None:
        if digits in self.left:
            self.left[digits] = min(BUDGETS[digits][0], self.left[digits] + guesses)


def test_row_06_only_the_guesses_of_a_flow_itself_ever_come_back(siege: Siege, *, full_counts: bool) -> None:
    """Attacker and owner by turns, at random, for months: every length must be the one that plain numbers foretell."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    [person] = create_users(siege.db, 1, "counted")
    expected, lengths = Expected(), Counter[int]()
    for _ in range(400 if full_counts else 45):
        [flow] = siege.begin([person])
        digits = len(flow.code)
        assert digits in expected.lengths(), (seed, digits, expected.left)
        lengths[digits] += 1
        expected.reserve(digits)
        wrong = rng.choice((0, 1, 2, 2, 3, 3, 3))
        if wrong:
            siege.guess(flow, wrong)
        succeeded = wrong < 3 and rng.random() < 0.5
        if succeeded:
            siege.succeed(flow)
            expected.refund(digits, 3)
        # The worker looks each minute, and so settles a flow before Valkey forgets what was guessed at it.
        for span in (_UNTIL_OVER, timedelta(hours=rng.choice((1, 1, 1, 2, 30, 24 * 20)))):
            let_pass(siege.db, span)
            expected.let_pass(span)
            siege.settle()
        if not succeeded:
            expected.refund(digits, 3 - wrong)
    assert set(lengths) >= {4, 6}, lengths
