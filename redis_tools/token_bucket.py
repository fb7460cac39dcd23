"""Buckets that fill by themselves (GCRA): limits, and what is given back when all went well."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from models.values.rate import Rate
from redis_tools.clock import CLOCK
from redis_tools.pipeline import Command, Script, ignore

# A bucket is one number: the moment at which it will be full again, its "theoretical arrival time". It is full when
# that moment is past, and then needs no key. Milliseconds are whole, so that a burst is exact.

# KEYS: bucket. ARGV: burst, gap in ms.
_TAKE = Script(
    CLOCK
    + """
local burst, gap = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + gap
if full_at - now > burst * gap then return {0, 0, full_at - now - burst * gap} end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', full_at - now)
return {1, math.floor(burst - (full_at - now) / gap), 0}
"""
)

# KEYS: bucket. ARGV: gap in ms, how many.
_GIVE_BACK = Script(
    CLOCK
    + """
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0') - ARGV[1] * ARGV[2]
if full_at <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', full_at - now)
end
"""
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is counted, for whom, and how much of it."""

    name: str
    rate: Rate

    @property
    def _key(self) -> str:
        return f"bucket:{self.name}:{self.rate.seconds}"

    @property
    def _gap(self) -> int:
        """Milliseconds until one comes back."""
        return ceil(self.rate.seconds * 1000 / self.rate.count)

    def consume(self) -> Command[LimitResult]:
        """Take one if there is one; a refusal takes nothing."""
        return Command.of(_TAKE, [self._key], [self.rate.count, self._gap], _taken)

    def refund(self, count: int = 1) -> Command[None]:
        """Give back what was taken; a full bucket takes no more."""
        return Command.of(_GIVE_BACK, [self._key], [self._gap, count], ignore)


@dataclass(frozen=True, slots=True)
class LimitResult:
    """Whether there was one, how many are left, and when there will be one again (seconds)."""

    allowed: bool
    left: int
    retry_after: int


def _taken(answer: Any) -> LimitResult:
    allowed, left, wait = answer
    return LimitResult(bool(allowed), int(left), max(1, ceil(int(wait) / 1000)))
