"""A network that is slow, in front of PostgreSQL or Valkey: every answer comes late, and some come too late."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from tests.support.servers.proxy import Proxy, _Connection


class SlowProxy(Proxy):
    """Passes everything on, and keeps back what the server says for a while; what it keeps it keeps in order."""

    def __init__(self, upstream: int, *, seed: int) -> None:
        super().__init__(upstream)
        self.delay = 0.0
        """Seconds that each answer is late."""
        self.long_delay = 0.0
        """Seconds for the few that come too late: whoever asked has gone, and the answer comes to the next one."""
        self.often = 0.0
        """How many of all answers these are."""
        self.late = 0
        self._chance = random.Random(seed)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, connection: _Connection, *, up: bool
    ) -> None:
        if up:
            await super()._pump(source, sink, connection, up=True)
            return
        with suppress(OSError):
            while message := await source.read(65_536):
                if self.delay:
                    too_late = self._chance.random() < self.often
                    self.late += too_late
                    await asyncio.sleep(self.long_delay if too_late else self.delay)
                sink.write(message)
                await sink.drain()
