"""Counts events of this process, and adds them to the counters of the whole service every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from models.context.counters import Counter
from models.errors import Unavailable
from redis_tools import counters
from redis_tools.pipeline import Valkey

log = logging.getLogger(__name__)

_EVERY = 5.0
"""Seconds; Prometheus reads four times a minute. A process that is killed loses the counts of this time."""


class Counters:
    """Counters in memory, which cost a request nothing; the order of the labels says which label is which."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._counts: dict[str, float] = defaultdict(float)

    def count(self, what: Counter, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        self._counts["|".join((what, *labels))] += by

    async def run(self) -> None:
        """Flush until cancelled, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(_EVERY)
                await self._flush()
        finally:
            await self._flush()

    async def _flush(self) -> None:
        if not self._counts:
            return
        counted, self._counts = self._counts, defaultdict(float)
        try:
            await self._valkey.execute(counters.add(counted))
        except asyncio.CancelledError:
            # The process stops during the exchange: the counts go with the last flush.
            for name, by in counted.items():
                self._counts[name] += by
            raise
        except Unavailable:
            # Whether they were added is not known; added again they might count twice.
            log.warning("%d counts were lost: Valkey is away", len(counted))
        except Exception:
            # A counter must not end the process.
            log.exception("%d counts could not be added", len(counted))
