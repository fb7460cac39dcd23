"""Writes the audit log: what takes effect in the transaction of its effect, what is refused a moment later."""

from __future__ import annotations

import asyncio
import json
import logging
from time import monotonic
from typing import Any
from uuid import UUID

from database.engine import Database, Db
from models.context.audit import Actor, Event, Record
from models.errors import Unavailable

log = logging.getLogger(__name__)

_EVERY = 1.0
"""Seconds that a refusal waits for others to be written down with."""

_AGAIN_AFTER = 60.0
"""Seconds after which what happened before is written down again; meanwhile it is counted."""

_MOST = 10_000
"""Different lines that wait while PostgreSQL is away; a flood beyond it is counted alone."""


async def audit(db: Db, event: Event, actor: Actor, subject: UUID | None = None, **details: Any) -> int:
    """Write down what happens, if and only if this transaction commits. ``details`` are JSON, names in them masked.

    Returns the line's id.
    """
    return await db.audit.add(Record(event, actor, subject, details))


class AuditBuffer:
    """Writes down what changes nothing: refusals, and what was merely begun.

    A flood of wrong guesses must not cost PostgreSQL a transaction each, nor fill its disk: the first of them is a
    line, and what is the same in every respect in the minute after it is one line more, with a count. A process that
    is killed loses what it was still counting.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, tuple[Record, int]] = {}
        self._written_at: dict[str, float] = {}
        self._lost = 0

    def record(self, event: Event, actor: Actor, subject: UUID | None = None, **details: Any) -> None:
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
                await self._write(self._due())
        finally:
            await self._write(self._waiting)

    def _due(self) -> dict[str, tuple[Record, int]]:
        """What was not written down in the last minute."""
        now = monotonic()
        self._written_at = {name: at for name, at in self._written_at.items() if now - at < _AGAIN_AFTER}
        return {name: line for name, line in self._waiting.items() if name not in self._written_at}

    async def _write(self, written: dict[str, tuple[Record, int]]) -> None:
        if not written:
            return
        self._waiting = {name: line for name, line in self._waiting.items() if name not in written}
        try:
            async with self._database.transaction() as db:
                await db.audit.add_all(written.values())
        except (Unavailable, asyncio.CancelledError) as error:
            # Whether they were written is not known: twice is better than never.
            self._keep(written)
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception:
            log.exception("%d lines of the audit log could not be written", len(written))
        else:
            self._written_at |= dict.fromkeys(written, monotonic())
            if self._lost:
                log.error("%d lines of the audit log were lost while PostgreSQL was away", self._lost)
                self._lost = 0

    def _keep(self, lines: dict[str, tuple[Record, int]]) -> None:
        """Put back what could not be written; what came meanwhile is counted on."""
        for name, (record, times) in lines.items():
            _, since = self._waiting.get(name, (record, 0))
            self._waiting[name] = record, times + since
