"""Counts what happens in this process, and adds it to the counters of the whole service every few seconds."""

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
"""Seconds; a Prometheus looks four times a minute. A process that is killed loses as much."""


class Counters:
    """Counters that cost their callers nothing; labels are told apart by their places."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._counts: dict[str, float] = defaultdict(float)

    def count(self, what: Counter, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        self._counts["|".join((what, *labels))] += by

    async def run(self) -> None:
        """Add to the service's counters for ever; what is left at the end is added before this ends."""
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
            await self._valkey.ask(counters.add(counted))
        except asyncio.CancelledError:
            # The stop has come in between: what was counted goes with what is added at the end.
            for name, by in counted.items():
                self._counts[name] += by
            raise
        except Unavailable:
            # Whether they were added is not known; added again they might count twice.
            log.warning("%d counts were lost, for Valkey is away", len(counted))
        except Exception:
            # Counting is not worth an end of the process.
            log.exception("%d counts could not be added", len(counted))
