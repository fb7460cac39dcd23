"""The service's counters: one hash for all processes, so that each process reports the same numbers."""

from __future__ import annotations

from collections.abc import Mapping

from redis_tools.command import Command, ignore, load_script

_KEY = "counters"
_ADD = load_script("counters_add")


def add(counts: Mapping[str, float]) -> Command[None]:
    """Add to several counters at once."""
    return _ADD.command([_KEY], [part for name, amount in counts.items() for part in (name, repr(amount))], ignore)


def read() -> Command[dict[str, float]]:
    """Return every counter."""
    return Command(("HGETALL", _KEY), _numbers)


def _numbers(answer: dict[bytes, bytes] | list[bytes]) -> dict[str, float]:
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {name.decode(): float(number) for name, number in pairs}
