"""How long the owner of a besieged account takes to recover it: thousands of attacks, in arithmetic alone.

What the service does is told by its own settings; how people and mail behave is assumed, and said below.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate

from config import Settings

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

_GUESSES = 3
"""Of each flow, also of the owner's."""

_TYPO = 0.03
"""A code typed wrong, by somebody who has it in front of him."""

_LOOK = 15.0
"""Seconds to look for the newest mail, rather than for the one that was expected."""


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """What the service does about one address, in seconds."""

    mails_at_once: int
    mail_every: float
    cooldown: float
    code_life: float
    flow_life: float
    rescue_life: float
    few_left: int
    """Mails left in the bucket at which a mail carries a rescue code."""
    floors: tuple[int, ...]
    """Wrong guesses that each floor of the thermostat bears; nothing for a known device."""

    @classmethod
    def of(cls, settings: Settings, *, known_device: bool, rescue_life: float, few_left: int) -> ServiceModel:
        """As a service with these settings is built."""
        rate = settings.limit.device_mails if known_device else settings.limit.mails
        return cls(
            mails_at_once=rate.count,
            mail_every=rate.seconds / rate.count,
            cooldown=settings.code.resend_after,
            code_life=settings.code.ttl,
            flow_life=settings.flow.ttl,
            rescue_life=rescue_life,
            few_left=few_left,
            floors=() if known_device else settings.thermostat.recover,
        )

    def without_rescue(self) -> ServiceModel:
        """The same house, whose mails carry no way in but their own code."""
        return replace(self, rescue_life=0.0)


class _Bucket:
    """So many mails at once, and one more every so often."""

    def __init__(self, house: ServiceModel) -> None:
        self._most, self._every = float(house.mails_at_once), house.mail_every
        self._left, self._at = self._most, 0.0

    def _fill(self, now: float) -> None:
        self._left, self._at = min(self._most, self._left + (now - self._at) / self._every), now

    def next_one(self, now: float) -> float:
        """When there is one."""
        self._fill(now)
        return now + max(0.0, 1 - self._left) * self._every

    def take(self, now: float) -> int | None:
        """How many are left after this one; None when there is none."""
        self._fill(now)
        if self._left < 1 - 1e-9:
            return None
        self._left -= 1
        return math.floor(self._left + 1e-9)


@dataclass(frozen=True, slots=True)
class _Letter:
    """A mail on its way to the owner, and how long its rescue code opens his flows."""

    sent: float
    arrives: float
    rescues_until: float


class Siege:
    """Bots that begin recoveries of one account over and over and guess wrong, and its owner, who begins one, too."""

    def __init__(self, house: ServiceModel, bots: int, pause: float, rng: random.Random) -> None:
        """Each bot begins anew after ``pause`` seconds."""
        self._house = house
        self._gap = pause / bots if bots else math.inf
        self._rng = rng
        self._bucket = _Bucket(house)
        self._letters: deque[_Letter] = deque()
        # Every flow of a bot is three wrong guesses; at these moments a floor is used up, and codes are replaced.
        self._raises = [borne / _GUESSES * self._gap for borne in accumulate(house.floors)]

    def _typing(self) -> float:
        """Opening a mail, reading the code, typing it: 25 s in the middle, 86 s for one in fifty."""
        return self._rng.lognormvariate(math.log(25), 0.6)

    def _send(self, now: float) -> _Letter | None:
        """A mail, if there is one to send; it takes ten seconds in the middle, and 52 in one case of fifty."""
        left = self._bucket.take(now)
        if left is None:
            return None
        rescues = now + self._house.rescue_life if left <= self._house.few_left else -math.inf
        letter = _Letter(now, now + self._rng.lognormvariate(math.log(10), 0.8), rescues)
        self._letters.append(letter)
        return letter

    def _flood(self, since: float, until: float) -> None:
        """What the bots do meanwhile. Only the one who finds a mail to send changes anything for the owner."""
        now = since
        while self._gap < math.inf:
            now = self._bucket.next_one(now) + self._rng.expovariate(1 / self._gap)
            if now >= until:
                return
            self._send(now)
            while self._letters[0].sent < now - DAY:
                self._letters.popleft()

    def _by_rescue(self, now: float) -> float:
        """When a rescue code from the mailbox is typed; never, when there is none that lives so long."""
        alive = [letter for letter in self._letters if letter.rescues_until > now]
        if not alive:
            return math.inf
        soonest = min(alive, key=lambda letter: (max(now, letter.arrives), -letter.sent))
        typed = max(now, soonest.arrives) + _LOOK + self._typing()
        return typed if typed < soonest.rescues_until else math.inf

    def _one_flow(self, begun: float) -> tuple[bool, float]:
        """One recovery of the owner: whether he is in, and when he is or gives it up."""
        over = begun + self._house.flow_life
        now, own, guesses = begun, self._send(begun), _GUESSES
        while guesses:
            if own is None:
                typed = self._by_rescue(now)
            else:
                typed = max(now, own.arrives) + self._typing()
                if typed > own.sent + self._house.code_life:
                    typed = math.inf
            if typed > over:
                break
            self._flood(now, typed)
            now = typed
            if own is not None and any(own.sent < raised <= now for raised in self._raises):
                own = self._send(now)  # replaced: not counted, and mailed anew if there is a mail left
                continue
            if self._rng.random() >= _TYPO:
                return True, now
            guesses -= 1
        return False, now

    def recover(self, begins: float) -> float:
        """How long the owner takes, from his first request until a code of his is accepted; an hour is for ever."""
        self._flood(0.0, begins)
        now = begins
        while now < begins + HOUR:
            done, ended = self._one_flow(now)
            if done:
                return ended - begins
            # He begins anew, when the page lets him.
            again = max(ended, now + self._house.cooldown)
            self._flood(ended, again)
            now = again
        return math.inf


def share_within(seconds: float, trials: int, one: Callable[[], float]) -> float:
    """The share of so many trials that take no longer."""
    return sum(one() <= seconds for _ in range(trials)) / trials
