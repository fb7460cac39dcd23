"""How well one of two samples can be told from the other: the area under the ROC curve, and how sure it is.

0.5 means that a clock tells nothing; 1 and 0 mean that one look is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, variance

_SURE = 0.99


@dataclass(frozen=True, slots=True)
class Auc:
    """The chance that one drawn from the first sample is larger than one from the second, and its interval."""

    value: float
    low: float
    high: float
    of: int
    """Members of the smaller sample."""

    def __str__(self) -> str:
        return f"AUC {self.value:.3f} ({_SURE:.0%}: {self.low:.3f} to {self.high:.3f}, {self.of} pairs)"

    def lies_outside(self, low: float, high: float) -> bool:
        """Whether all of the interval lies on one side of these bounds: no bad luck of this one run explains it."""
        return self.high < low or self.low > high


def auc(first: Sequence[float], second: Sequence[float]) -> Auc:
    """Compare two samples of at least two each; ties count half.

    The interval is DeLong's (1988), from the spread of each member's own share of won comparisons, and so assumes
    nothing of how the samples are distributed. Where no two comparisons differ it has no width.
    """
    places = _ranks([*first, *second])
    # A member's rank among all, less its rank among its own, is how many of the others it beats.
    ours = [(place - own) / len(second) for place, own in zip(places[: len(first)], _ranks(first), strict=True)]
    theirs = [1 - (place - own) / len(first) for place, own in zip(places[len(first) :], _ranks(second), strict=True)]
    value = fmean(ours)
    error = sqrt(variance(ours) / len(first) + variance(theirs) / len(second))
    reach = NormalDist().inv_cdf((1 + _SURE) / 2) * error
    return Auc(value, value - reach, value + reach, min(len(first), len(second)))


def _ranks(sample: Sequence[float]) -> list[float]:
    """The rank of each member, from 1; equal ones share the middle of theirs."""
    order = sorted(range(len(sample)), key=sample.__getitem__)
    ranks = [0.0] * len(sample)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and sample[order[end]] == sample[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + 1 + end) / 2
        start = end
    return ranks
