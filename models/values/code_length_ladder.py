"""The ladder of code lengths: how many wrong guesses a year each length may cost one account."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

GUESSES_PER_FLOW = 3
"""Guesses that every flow allows, and that its code reserves (service.md, section 4)."""

TOP = 12
"""Digits of the last rung, which needs no budget: a guess is right with a chance of one in 10^12."""

TAKEOVER_BOUND = 0.001
"""The promise: the chance per year that a code of one account and purpose is guessed (service.md, section 4)."""

DEVICE_TAKEOVER_BOUND = 0.0022
"""The same for an attacker who has also stolen the secret of a known device."""

_WRITTEN = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Budget:
    """Wrong guesses: ``burst`` at once, and ``per_year`` more, which come back one by one."""

    burst: int
    per_year: int

    def __str__(self) -> str:
        return f"{self.burst}/{self.per_year}"

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``6/2``: 6 at once, 2 more a year.

        Raises:
            ValueError: the text has another form, or the burst is too small for a single flow.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or int(found[1]) < GUESSES_PER_FLOW:
            raise ValueError("must be written as burst/year, such as 6/2, with a burst of at least 3")
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Rung:
    """One length of code and its budget of wrong guesses; the last rung has no budget."""

    digits: int
    budget: Budget | None


def takeover_bound(rungs: Iterable[Rung], mails_a_year: float) -> float:
    """Return the greatest chance of a year of guessing with unlimited addresses: sum of G/10^L (threats.md, 2.1).

    G, the guesses at length L, are at most burst + refill; on the last rung every mail brings three.
    """
    return math.fsum(
        (rung.budget.burst + rung.budget.per_year if rung.budget else mails_a_year * GUESSES_PER_FLOW) / 10**rung.digits
        for rung in rungs
    )
