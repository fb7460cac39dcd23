"""Writes the audit log: an effect in the transaction of that effect, a refusal a moment later."""

from __future__ import annotations

import asyncio
import json
import logging
from time import monotonic
from typing import Any
from uuid import UUID

from database.engine import Database
from database.repositories import Db
from models.context.audit import Actor, Event, Record
from models.errors import Unavailable

log = logging.getLogger(__name__)

_WRITE_INTERVAL = 1.0
"""Seconds between two writes: refusals within them share a transaction."""

_REPEAT_INTERVAL = 60.0
"""Seconds until a repeated refusal becomes another line; meanwhile its repetitions are counted."""

_MAX_WAITING = 10_000
"""Different lines held while PostgreSQL is unavailable; beyond them only the number of lost lines is kept."""


async def audit(db: Db, event: Event, actor: Actor, subject: UUID | None = None, **details: Any) -> int:
    """Add a line to the audit log in the caller's transaction, and return its id.

    ``details`` are JSON; names and addresses in them are masked.
    """
    return await db.audit.create(Record(event, actor, subject, details))


class AuditBuffer:
    """Records events that change nothing: refusals, and flows that have only begun.

    A flood of wrong guesses must neither cost PostgreSQL a transaction each nor fill its disk: the first event becomes
    a line, and all equal events of the minute after it become one more line with a count. A process that is killed
    loses the events that it has not written yet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, tuple[Record, int]] = {}
        self._written_at: dict[str, float] = {}
        self._lost = 0

    def record(self, event: Event, actor: Actor, subject: UUID | None = None, **details: Any) -> None:
        """Queue an event for the next write; never waits, never raises."""
        record = Record(event, actor, subject, details)
        name = json.dumps([event, str(actor.user_id), actor.source, str(subject), details], sort_keys=True)
        if name not in self._waiting and len(self._waiting) >= _MAX_WAITING:
            self._lost += 1
            return
        _, times = self._waiting.get(name, (record, 0))
        self._waiting[name] = record, times + 1

    async def run(self) -> None:
        """Write at intervals until cancelled, and once more before ending."""
        try:
            while True:
                await asyncio.sleep(_WRITE_INTERVAL)
                await self._write(self._due())
        finally:
            await self._write(self._waiting)

    def _due(self) -> dict[str, tuple[Record, int]]:
        """Return the lines whose equals were not written in the last minute."""
        now = monotonic()
        self._written_at = {name: at for name, at in self._written_at.items() if now - at < _REPEAT_INTERVAL}
        return {name: line for name, line in self._waiting.items() if name not in self._written_at}

    async def _write(self, written: dict[str, tuple[Record, int]]) -> None:
        if not written:
            return
        self._waiting = {name: line for name, line in self._waiting.items() if name not in written}
        try:
            async with self._database.transaction() as db:
                await db.audit.create_all(written.values())
        except (Unavailable, asyncio.CancelledError) as error:
            # They may have been written: twice is better than never.
            self._put_back(written)
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception:
            log.exception("%d lines of the audit log could not be written", len(written))
        else:
            self._written_at |= dict.fromkeys(written, monotonic())
            if self._lost:
                log.error("%d lines of the audit log were lost while PostgreSQL was away", self._lost)
                self._lost = 0

    def _put_back(self, lines: dict[str, tuple[Record, int]]) -> None:
        """Queue lines again that could not be written, and add the counts of their equals since then."""
        for name, (record, times) in lines.items():
            _, since = self._waiting.get(name, (record, 0))
            self._waiting[name] = record, times + since
