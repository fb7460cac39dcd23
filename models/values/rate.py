"""How many in how long: a limit's two numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRITTEN = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` at once, and as many again in every ``seconds``, coming back one by one."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``20/60``: 20 at once, one more every 3 seconds.

        Raises:
            ValueError: it is not written so, or one of the numbers is 0.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or int(found[1]) == 0 or int(found[2]) == 0:
            raise ValueError("must be written as count/seconds, such as 20/60")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds}"

    def times(self, factor: int) -> Rate:
        """The rate for a network that many share."""
        return Rate(self.count * factor, self.seconds)
