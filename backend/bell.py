"""Wakes the mail worker of this process, if it has one, as soon as a mail waits."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung by whoever put a mail into the outbox, heard by the worker beside it at no round trip.

    Without a worker beside it, PostgreSQL has to call the one that lives elsewhere.
    """

    def __init__(self, *, heard: bool) -> None:
        self.heard = heard
        self.rung = asyncio.Event()

    def ring(self) -> None:
        """There is mail."""
        self.rung.set()
