"""Rates: so many in so many seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRITTEN = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` at once, and ``count`` more in every ``seconds``, which come back one by one."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``20/60``: 20 at once, one more every 3 seconds.

        Raises:
            ValueError: the text has another form, or one of the numbers is 0.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or int(found[1]) == 0 or int(found[2]) == 0:
            raise ValueError("must be written as count/seconds, such as 20/60")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds}"

    def times(self, factor: int) -> Rate:
        """Return the rate for a network that ``factor`` clients share."""
        return Rate(self.count * factor, self.seconds)
