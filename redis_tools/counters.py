"""The service's counters: one hash for all processes, so that each of them tells an operator the same."""

from __future__ import annotations

from collections.abc import Mapping

from redis_tools.pipeline import Command, Script, ignore

_PLACE = "counters"

# KEYS: counters. ARGV: field, how much, field, how much, ...
_ADD = Script(
    """
for i = 1, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1]) end
"""
)


def add(counts: Mapping[str, float]) -> Command[None]:
    """Add to some of them, all at once."""
    return Command.of(_ADD, [_PLACE], [part for name, by in counts.items() for part in (name, repr(by))], ignore)


def read() -> Command[dict[str, float]]:
    """All of them."""
    return Command(("HGETALL", _PLACE), _numbers)


def _numbers(answer: dict[bytes, bytes] | list[bytes]) -> dict[str, float]:
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {name.decode(): float(number) for name, number in pairs}
