"""Enqueues mail, and hands it straight to the worker of this process when that has capacity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from database.engine import Database
from database.mail.outbox import Job
from models.context.request_id import request_id
from models.values.flow import WaitingFlow

LEASE = timedelta(seconds=6)
"""How long a worker holds a mail without renewal; with one poll, 7 s of the 10 in which a mail has to leave."""


@dataclass(frozen=True, slots=True)
class LocalWorker:
    """The worker of this process."""

    free_slots: Callable[[], int]
    """How many more mails it can send at the same time."""
    submit: Callable[[Job], None]
    """Give it a mail that is already leased to it."""


class MailQueue:
    """Saves round trips for the worker of the same process, if there is one.

    A mail that it can send at once is put into the outbox as leased to it, and need not be fetched from there. While
    it is busy it is woken by an event. Without a worker in this process, PostgreSQL notifies the workers elsewhere.
    """

    def __init__(self, database: Database, *, has_local_worker: bool) -> None:
        self._database = database
        self.has_local_worker = has_local_worker
        self.wakeup = asyncio.Event()
        self.local_worker: LocalWorker | None = None
        """Set while the worker runs."""
        self.reserved = 0
        """Free slots of the local worker that mails now being written will take."""

    async def enqueue(
        self, kind: str, payload: Mapping[str, Any], give_up_after: timedelta, hint: WaitingFlow | None = None
    ) -> None:
        """Put a mail into the outbox, and wake a worker.

        The ``hint`` is not stored: it saves the local worker the look-up of the flow.

        Raises:
            Unavailable: PostgreSQL is away; the mail may be in the outbox, and then leaves.
        """
        # The worker, wherever it runs, writes the request's id into its log lines.
        payload = {**payload, "request": request_id.get()}
        worker = self.local_worker if self.local_worker and self.local_worker.free_slots() > self.reserved else None
        if worker is None:
            async with self._database.statement() as db:
                await db.outbox.create(kind, payload, give_up_after, notify=not self.has_local_worker)
            self.wakeup.set()
            return
        self.reserved += 1
        try:
            async with self._database.statement() as db:
                job = await db.outbox.create_leased(kind, payload, give_up_after, LEASE)
        finally:
            self.reserved -= 1
        worker.submit(replace(job, hint=hint))
