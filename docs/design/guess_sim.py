#!/usr/bin/env python3
"""Arithmetic and simulation behind the code lengths, section 2 of docs/design/threats.md.

Run ``python docs/design/guess_sim.py``; it needs the standard library alone and takes about ten seconds.

A  yearly takeover probability of common policies, in closed form
B  the ladder: its bound, a greedy attacker for a year, and a Monte-Carlo check
C  whether an attacker can lock the owner out
D  whether honest users keep four digits
E  spraying: one guess at each of many accounts
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86_400.0, 365 * 86_400.0

GUESSES = 3
"""Guesses of a flow, all reserved before its code is mailed."""

MAIL_BURST, MAIL_REFILL = 5, 1 / HOUR
"""Mails to one address for one purpose: five at once, then one an hour."""

RESEND_COOLDOWN = 60.0
RESCUE_TTL = 2 * HOUR

_TWO_MINUTES, _TWO_HOURS, _TWO_DAYS, _TWO_YEARS = 2 * MINUTE, 2 * HOUR, 2 * DAY, 2 * YEAR
_ALMOST = 1e-9


class Rung(NamedTuple):
    """A code length and its budget of wrong guesses; the last rung has no budget."""

    digits: int
    burst: float = math.inf
    per_year: float = 0.0


LADDER = (Rung(4, 6, 2), Rung(6, 30, 52), Rung(8, 200, 1000), Rung(12))
DEVICE_LADDER = (Rung(4, 9, 12), Rung(6, 30, 52), Rung(8, 200, 1000), Rung(12))
THREE_RUNGS = (Rung(4, 6, 2), Rung(6, 30, 52), Rung(8))

THERMOSTAT = {4: 20, 6: 500, 8: 5_000}
"""Unresolved wrong guesses a day at /recover, for each floor."""


def show(line: str = "") -> None:
    """Write one line."""
    sys.stdout.write(f"{line}\n")


def p_codes(guesses: int, digits: int, codes: float) -> float:
    """Probability that one of ``codes`` fresh codes falls to so many distinct guesses each."""
    return -math.expm1(codes * math.log1p(-guesses / 10**digits))


def p_guesses(guesses_by_digits: Iterable[tuple[int, float]]) -> float:
    """Probability that one of the guesses is right, each of them at a fresh code."""
    return -math.expm1(sum(count * math.log1p(-(10.0**-digits)) for digits, count in guesses_by_digits))


def duration(seconds: float) -> str:
    """Format a duration in the unit that suits it."""
    for limit, unit, name in (
        (_TWO_MINUTES, 1.0, "s"),
        (_TWO_HOURS, MINUTE, "min"),
        (_TWO_DAYS, HOUR, "h"),
        (_TWO_YEARS, DAY, "d"),
    ):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / YEAR:.0f} y"


def half_life(guesses: int, digits: int, codes_per_year: float) -> str:
    """Time after which half of all attacks on one account have succeeded."""
    return duration(math.log(0.5) / math.log1p(-guesses / 10**digits) / codes_per_year * YEAR)


def part_a() -> None:
    """Print what common policies allow."""
    show("A. one account, one purpose, one year; the attacker has unlimited addresses")
    show(f"   {'policy':58s} {'guesses/y':>11s} {'P(takeover/y)':>14s} {'50% after':>10s}")
    for name, digits, guesses, codes in (
        ("4 d, no limit, 100 requests/s", 4, 1, 100 * YEAR),
        ("4 d, 5 per code, new code at once, 50/s", 4, 5, 50 * YEAR),
        ("4 d, 5 per code, 1 code / 60 s", 4, 5, YEAR / 60),
        ("4 d, 3 per code, 1 code / 60 s", 4, 3, YEAR / 60),
        ("4 d, 3 per code, 5 codes / h", 4, 3, 5 * YEAR / HOUR),
        ("4 d, 3 per code, 10 codes / day", 4, 3, 3650),
        ("4 d, 3 per code, 5 codes / day", 4, 3, 1825),
        ("4 d, 3 per code, 1 code / day", 4, 3, 365),
        ("4 d, budget of 3, reset by the owner's daily success", 4, 3, 365),
        ("6 d, 5 per flow, unlimited flows, 50/s", 6, 5, 50 * YEAR),
        ("6 d, 50 guesses / day", 6, 1, 50 * 365),
        ("6 d, 3 per code, 5 codes / day", 6, 3, 1825),
        ("8 d, 3 per code, 1 code / 60 s", 8, 3, YEAR / 60),
        ("8 d, 3 per code, 24 codes / day", 8, 3, 24 * 365),
    ):
        chance, half = p_codes(guesses, digits, codes), half_life(guesses, digits, codes)
        show(f"   {name:58s} {guesses * codes:11.3g} {chance:14.3%} {half:>10s}")
    for name, digits, count in (
        ("lock after 100 failures, 4 d", 4, 100),
        ("lock after 100 failures, 6 d", 6, 100),
        ("lock after 10 failures a year, 4 d", 4, 10),
    ):
        show(f"   {name:58s} {count:11.3g} {p_guesses([(digits, count)]):14.3%} {'-':>10s}")


class Ladder:
    """Token buckets of guesses, one for each length; reserved at hand-over, refunded at the end of a flow."""

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self._rungs = rungs
        self._tokens = [rung.burst for rung in rungs]
        self._at = 0.0

    def refill(self, now: float) -> None:
        """Add what the time since the last call is worth."""
        for place, rung in enumerate(self._rungs):
            grown = self._tokens[place] + rung.per_year * (now - self._at) / YEAR
            self._tokens[place] = min(rung.burst, grown)
        self._at = now

    def issue(self, now: float) -> tuple[int, int]:
        """Reserve the guesses of one code; return the rung's place and its digits."""
        self.refill(now)
        place = next(place for place, tokens in enumerate(self._tokens) if tokens + _ALMOST >= GUESSES)
        self._tokens[place] -= GUESSES
        return place, self._rungs[place].digits

    def refund(self, place: int, guesses: int, now: float) -> None:
        """Give guesses back to a rung."""
        self.refill(now)
        self._tokens[place] = min(self._rungs[place].burst, self._tokens[place] + guesses)

    def wait_below_the_top(self) -> float:
        """Seconds until a rung with a budget can serve a code."""
        below = list(zip(self._tokens, self._rungs, strict=True))[:-1]
        if any(tokens >= GUESSES for tokens, _ in below):
            return 0.0
        return min((GUESSES - tokens) / rung.per_year for tokens, rung in below) * YEAR + 1


@dataclass
class Mails:
    """The mail bucket of one address and purpose."""

    tokens: float = MAIL_BURST
    at: float = 0.0
    last: float = -math.inf

    def next_at(self, now: float) -> float:
        """Earliest moment at which a mail may leave."""
        tokens = min(MAIL_BURST, self.tokens + (now - self.at) * MAIL_REFILL)
        wait = 0.0 if tokens >= 1 - _ALMOST else (1 - tokens) / MAIL_REFILL
        return max(now + wait, self.last + RESEND_COOLDOWN)

    def take(self, now: float) -> None:
        """Send one mail."""
        self.tokens = min(MAIL_BURST, self.tokens + (now - self.at) * MAIL_REFILL) - 1
        self.at = self.last = now


def greedy(rungs: Sequence[Rung], horizon: float) -> Counter[int]:
    """Let an attacker open a flow at every permitted mail and use up its guesses; return guesses by digits."""
    ladder, mails, guesses = Ladder(rungs), Mails(), Counter[int]()
    while (now := mails.next_at(mails.at)) < horizon:
        mails.take(now)
        guesses[ladder.issue(now)[1]] += GUESSES
    return guesses


def greedy_hits(rungs: Sequence[Rung], horizon: float, fewer_digits: int, rng: random.Random) -> bool:
    """Play the same with real random codes that are shorter by so many digits; jump over the top rung."""
    ladder, mails, now = Ladder(rungs), Mails(), 0.0
    while True:
        now = mails.next_at(now)
        ladder.refill(now)
        now += ladder.wait_below_the_top()
        if now >= horizon:
            return False
        mails.take(now)
        digits = ladder.issue(now)[1]
        if rng.randrange(10 ** (digits - fewer_digits)) < GUESSES:
            return True


def bound(rungs: Sequence[Rung], mails_per_year: float) -> tuple[float, str]:
    """Sum of G/10^L, where G is what a bucket holds plus what a year refills."""
    total, terms = 0.0, []
    for rung in rungs:
        guesses = rung.burst + rung.per_year if rung.per_year else GUESSES * mails_per_year
        total += guesses / 10**rung.digits
        terms.append(f"{rung.digits}d<={guesses:.0f}->{guesses / 10**rung.digits:.2e}")
    return total, ", ".join(terms)


def part_b() -> None:
    """Print the ladder's bound, a greedy year, and a check of the mechanism by real codes."""
    show("\nB. the ladder, for each account and purpose")
    capped = MAIL_BURST + YEAR * MAIL_REFILL
    for name, rungs, mails in (
        ("three rungs 4/6/8, no mail cap (1/60 s)", THREE_RUNGS, YEAR / 60),
        ("three rungs 4/6/8, mail 5 + 1/h", THREE_RUNGS, capped),
        ("four rungs 4/6/8/12, no mail cap (1/60 s)", LADDER, YEAR / 60),
        ("four rungs 4/6/8/12, mail 5 + 1/h   <= as built", LADDER, capped),
        ("ladder of a known device              <= as built", DEVICE_LADDER, capped),
    ):
        total, terms = bound(rungs, mails)
        show(f"   bound {name:50s} {total:.3e}  [{terms}]")
    for name, rungs, years in (
        ("three rungs, 1 year", THREE_RUNGS, 1),
        ("four rungs, 1 year", LADDER, 1),
        ("four rungs, 10 years", LADDER, 10),
    ):
        guesses = greedy(rungs, years * YEAR)
        show(f"   greedy, {name:20s}: guesses {dict(guesses)}  P = {p_guesses(guesses.items()):.3e}")
    rng = random.Random(7)  # noqa: S311 - a simulation draws the same numbers each time
    accounts, horizon, fewer_digits = 8000, 0.2 * YEAR, 2
    hits = sum(greedy_hits(LADDER, horizon, fewer_digits, rng) for _ in range(accounts))
    missed = (
        (1 - GUESSES / 10 ** (digits - fewer_digits)) ** (count / GUESSES)
        for digits, count in greedy(LADDER, horizon).items()
    )
    expected = 1 - math.prod(missed)
    error = math.sqrt(expected * (1 - expected) / accounts)
    show(f"   Monte-Carlo (real codes with 2 digits less, 0.2 y, {accounts} accounts): {hits / accounts:.4f}")
    show(f"      by the formula: {expected:.4f} (s.e. {error:.4f})")


class Owner:
    """The owner of an account whose attacker uses up what can be used up; each method is one trial, in seconds."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def _typing(self) -> float:
        return self._rng.lognormvariate(math.log(25), 0.6)

    def _mail_and_typing(self) -> float:
        return self._rng.lognormvariate(math.log(10), 0.8) + self._typing()

    def _wins_against(self, bots: int) -> bool:
        return self._rng.random() < 1 / (bots + 1)

    def locked_out(self) -> float:
        """Wait for a lock that the attacker renews at once, or for attempts that the attacker uses up."""
        return math.inf

    def one_live_code(self, bots: int) -> float:
        """Ask for codes where each request replaces the code before it, once in 60 s."""
        now = self._rng.uniform(0, 60)
        for _ in range(24 * 60):
            if self._wins_against(bots) and (needed := self._mail_and_typing()) < RESEND_COOLDOWN:
                return now + needed
            now += RESEND_COOLDOWN
        return math.inf

    def first_come(self, bots: int) -> float:
        """Compete for one mail an hour; each flow has its own code."""
        now = self._rng.uniform(0, HOUR)
        for _ in range(24 * 30):
            if self._wins_against(bots):
                return now + self._mail_and_typing()
            now += HOUR
        return math.inf

    def on_known_device(self, typo: float = 0.03) -> float:
        """Use a mail bucket and a ladder that the attacker cannot reach."""
        now = self._mail_and_typing()
        while self._rng.random() < typo**GUESSES:
            now += RESEND_COOLDOWN + self._mail_and_typing()
        return now

    def by_rescue_code(self) -> float:
        """Open the newest mail of the flood and paste 26 characters."""
        return self._typing() + 15


def _summarize(name: str, trial: Callable[[], float], trials: int = 2000) -> None:
    seconds = sorted(trial() for _ in range(trials))
    within_ten = sum(x <= 10 * MINUTE for x in seconds) / trials
    within_hour = sum(x <= HOUR for x in seconds) / trials
    median = seconds[trials // 2]
    text = "never" if median > 30 * DAY else f"{median:.0f} s" if median < 10 * MINUTE else f"{median / HOUR:.1f} h"
    show(f"   {name:62s} <=10 min {within_ten:6.1%}  <=1 h {within_hour:6.1%}  median {text}")


def part_c() -> None:
    """Print how long an owner on an unknown device needs at /recover while an attacker saturates the account."""
    show("\nC. the owner starts /recover while an attacker saturates the account")
    owner = Owner(random.Random(11))  # noqa: S311 - as above
    _summarize("lock after N wrong guesses, or attempts shared by all flows", owner.locked_out)
    _summarize("one live code per account, 1 bot", partial(owner.one_live_code, 1))
    _summarize("one live code per account, 20 bots", partial(owner.one_live_code, 20))
    _summarize("ladder, a code per flow, first-come mail, 1 bot", partial(owner.first_come, 1))
    _summarize("ladder, a code per flow, first-come mail, 20 bots", partial(owner.first_come, 20))
    _summarize("ladder + known device                              <= as built", owner.on_known_device)
    _summarize("ladder + rescue code in mails sent under pressure  <= as built", owner.by_rescue_code)
    # Whenever a mail is refused, the rescue code of an earlier mail is still valid.
    rng = random.Random(3)  # noqa: S311 - as above
    mails, sent, shortest, now = Mails(), 0, math.inf, 0.0
    while now < 30 * DAY:
        now += rng.expovariate(1 / 20.0)
        if mails.next_at(now) <= now:
            mails.take(now)
            sent += 1
        else:
            shortest = min(shortest, mails.last + RESCUE_TTL - now)
    show(f"   30 days of flooding: {sent} mails, {sent / 30:.1f} a day")
    show(f"      at each refusal the newest rescue code is valid for >= {shortest / MINUTE:.0f} min more")


@dataclass(frozen=True)
class Habits:
    """What honest users do."""

    logins_a_day: float = 0.7
    new_device: float = 0.05
    typo: float = 0.03
    late_mail: float = 0.03
    quits: float = 0.2


@dataclass(frozen=True)
class Policy:
    """What comes back to the ladder, and whether a known device has a ladder of its own."""

    unused: bool = True
    own_wrong: bool = True
    devices: bool = True


@dataclass
class User:
    """An honest user, for a year."""

    habits: Habits
    policy: Policy
    rng: random.Random
    lengths: Counter[int] = field(default_factory=Counter)

    def live(self) -> Counter[int]:
        """Log in for a year; return the lengths of the codes."""
        account, device = Ladder(LADDER), Ladder(DEVICE_LADDER)
        now = self.rng.expovariate(self.habits.logins_a_day / DAY)
        while now < YEAR:
            known = self.policy.devices and self.rng.random() > self.habits.new_device
            now = self._log_in(device if known else account, now)
            now += self.rng.expovariate(self.habits.logins_a_day / DAY)
        return self.lengths

    def _log_in(self, ladder: Ladder, now: float) -> float:
        while not self._one_flow(ladder, now) and self.rng.random() >= self.habits.quits:
            now += 90
        return now

    def _one_flow(self, ladder: Ladder, now: float) -> bool:
        place, digits = ladder.issue(now)
        self.lengths[digits] += 1
        if self.rng.random() < self.habits.late_mail:
            wrong, succeeded = 0, False
        else:
            wrong = 0
            while wrong < GUESSES and self.rng.random() < self.habits.typo:
                wrong += 1
            succeeded = wrong < GUESSES
        if self.policy.unused:
            ladder.refund(place, GUESSES - wrong, now)
        if self.policy.own_wrong and succeeded:
            ladder.refund(place, wrong, now)
        return succeeded


def part_d(users: int = 300) -> None:
    """Print the share of codes by length for honest users."""
    show("\nD. honest users, one year, no attack: share of codes by length")
    usual, clumsy = Habits(), Habits(typo=0.10, late_mail=0.10, quits=0.35)
    for name, habits, policy in (
        ("nothing comes back", usual, Policy(unused=False, own_wrong=False, devices=False)),
        ("unused guesses come back", usual, Policy(own_wrong=False, devices=False)),
        ("+ wrong guesses of a flow that succeeds  <= as built", usual, Policy(devices=False)),
        ("+ a ladder for known devices             <= as built", usual, Policy()),
        ("clumsy users on unknown devices", clumsy, Policy(devices=False)),
        ("clumsy users with known devices", clumsy, Policy()),
    ):
        rng = random.Random(5)  # noqa: S311 - as above
        lengths = sum((User(habits, policy, rng).live() for _ in range(users)), Counter[int]())
        shares = "  ".join(f"{rung.digits}d {lengths[rung.digits] / lengths.total():7.2%}" for rung in LADDER)
        show(f"   {name:54s} {shares}")


def takeovers(accounts: float, days: float, floors: Mapping[int, float]) -> float:
    """Expect so many takeovers from one guess at each account; past the last floor a code has 12 digits."""
    left, expected = accounts, 0.0
    for digits, per_day in floors.items():
        guesses = min(left, per_day * (1 + days))
        expected += guesses / 10**digits
        left -= guesses
    return expected + left / 1e12


def part_e() -> None:
    """Print what spraying takes with and without the thermostat."""
    show("\nE. spraying /recover: one guess at each account, expected takeovers in the whole service")
    heads = (
        f"{'accounts':>10s} {'networks':>9s} {'days':>7s} {'4 digits alone':>15s} {'thermostat':>11s} {'6 digits':>9s}"
    )
    show(f"   {heads}")
    for accounts, networks in ((10**4, 100), (10**5, 1000), (10**6, 1000), (10**6, 20_000), (10**7, 50_000)):
        # 200 starts a day for each client address, the default of LIMIT_RECOVERIES.
        days = accounts / (networks * 200)
        left = takeovers(accounts, days, THERMOSTAT)
        show(f"   {accounts:10d} {networks:9d} {days:7.2f} {accounts / 1e4:15.2f} {left:11.4f} {accounts / 1e6:9.2f}")
    yearly = {digits: per_day * 366 / 10**digits for digits, per_day in THERMOSTAT.items()}
    terms = " + ".join(f"{value:.3f}" for value in yearly.values())
    show(f"   a year at full rate, any number of accounts: {terms} = {sum(yearly.values()):.3f} takeovers")
    show("   honest users (1 % of recoveries end unresolved, with 1.5 wrong guesses):")
    for a_day in (50, 500, 5000, 50_000):
        allowed = max(THERMOSTAT[4], 0.02 * a_day)
        show(
            f"     {a_day:6d} recoveries/day -> {0.015 * a_day:6.1f} unresolved, allowed max(20, 2 %) = {allowed:5.0f},"
            f" E[takeovers/y] at 4 d <= {366 * allowed / 1e4:.2f}"
        )


if __name__ == "__main__":
    began = time.perf_counter()
    for part in (part_a, part_b, part_c, part_d, part_e):
        part()
    show(f"\n{time.perf_counter() - began:.1f} s")
