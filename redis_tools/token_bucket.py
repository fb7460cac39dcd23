"""Token buckets that refill by themselves (GCRA): rate limits, with a refund when all went well."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from models.values.rate import Rate
from redis_tools.command import Command, ignore, load_script

# A bucket is one number: the moment at which it will be full again, its "theoretical arrival time". A bucket is full
# when that moment is past, and then needs no key. Milliseconds are whole, so that a burst is exact.
_CONSUME = load_script("bucket_consume")
_REFUND = load_script("bucket_refund")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A rate limit of one client, account or address."""

    name: str
    rate: Rate

    @property
    def _key(self) -> str:
        return f"bucket:{self.name}:{self.rate.seconds}"

    @property
    def _gap(self) -> int:
        """Milliseconds until one token comes back."""
        return ceil(self.rate.seconds * 1000 / self.rate.count)

    def consume(self) -> Command[LimitResult]:
        """Take one token if there is one."""
        return _CONSUME.command([self._key], [self.rate.count, self._gap], _result)

    def refund(self, count: int = 1) -> Command[None]:
        """Put tokens back; a full bucket stays full."""
        return _REFUND.command([self._key], [self._gap, count], ignore)


@dataclass(frozen=True, slots=True)
class LimitResult:
    """Whether a token was taken, how many are left, and the seconds until the next one."""

    allowed: bool
    left: int
    retry_after: int


def _result(answer: Any) -> LimitResult:
    allowed, left, wait = answer
    return LimitResult(bool(allowed), int(left), max(1, ceil(int(wait) / 1000)))
