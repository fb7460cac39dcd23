"""Waiting for what is promised to come about by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(promise: Callable[[], bool], within: float, *, look_every: float = 0.05) -> float:
    """Look until the promise is kept; return the seconds that it took, or fail when the time is over."""
    began = time.monotonic()
    while not promise():
        assert time.monotonic() - began < within, f"not kept within {within:g} s"
        time.sleep(look_every)
    return time.monotonic() - began
