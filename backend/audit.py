"""Writes the audit log: what takes effect in the transaction of its effect, what is refused a moment later."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from uuid import UUID

from database.engine import Database, Db
from models.audit import Actor, Event, Record
from models.errors import Unavailable

log = logging.getLogger(__name__)

_EVERY = 1.0
"""Seconds that a refusal waits for others to be written down with."""

_MOST = 10_000
"""Different lines that wait while PostgreSQL is away; a flood beyond it is counted alone."""


async def audit(db: Db, event: Event, actor: Actor, subject: UUID | None = None, **details: Any) -> int:
    """Write down what happens, if and only if this transaction commits. ``details`` are JSON, names in them masked.

    Returns the line's id.
    """
    return await db.audit.add(Record(event, actor, subject, details))


class AuditClerk:
    """Writes down what changes nothing: refusals, and what was merely begun.

    A flood of wrong guesses must not cost PostgreSQL a transaction each, nor fill its disk: what is the same in every
    respect within a moment is one line with a count. A process that is killed loses the lines of its last second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, tuple[Record, int]] = {}
        self._lost = 0

    def note(self, event: Event, actor: Actor, subject: UUID | None = None, **details: Any) -> None:
        """Have it written down soon; costs its caller neither time nor an error."""
        record = Record(event, actor, subject, details)
        name = json.dumps([event, str(actor.user_id), actor.source, str(subject), details], sort_keys=True)
        if name not in self._waiting and len(self._waiting) >= _MOST:
            self._lost += 1
            return
        _, times = self._waiting.get(name, (record, 0))
        self._waiting[name] = record, times + 1

    async def run(self) -> None:
        """Write for ever; whatever waits at the end is written before this ends."""
        try:
            while True:
                await asyncio.sleep(_EVERY)
                await self._write()
        finally:
            await self._write()

    async def _write(self) -> None:
        if not self._waiting:
            return
        written = self._waiting
        self._waiting = {}
        try:
            async with self._database.transaction() as db:
                await db.audit.add_all(written.values())
        except Unavailable:
            self._keep(written)
        except Exception:
            log.exception("%d lines of the audit log could not be written", len(written))
        else:
            if self._lost:
                log.error("%d lines of the audit log were lost while PostgreSQL was away", self._lost)
                self._lost = 0

    def _keep(self, lines: dict[str, tuple[Record, int]]) -> None:
        """Put back what could not be written; what came meanwhile is counted on."""
        for name, (_, times) in self._waiting.items():
            record, before = lines.get(name, (self._waiting[name][0], 0))
            lines[name] = record, before + times
        self._waiting = lines
