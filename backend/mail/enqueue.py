"""Where mail is handed in: to the worker of this process if it has a hand free, else to whoever takes it next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from database.engine import Database
from database.outbox import Job
from models.context.request_id import request_id

LEASE = timedelta(seconds=6)
"""How long a worker holds a mail without a sign of life; with one poll, 7 s of the 10 in which it has to leave."""


@dataclass(frozen=True, slots=True)
class LocalWorker:
    """The worker beside us: how many hands it has free, and how it is given a mail that is leased to it already."""

    free: Callable[[], int]
    take: Callable[[Job], None]


class MailQueue:
    """Saves round trips for the worker of the same process, if there is one.

    A mail that it can take at once is put into the outbox as leased to it, and need not be fetched from there. While
    its hands are full it is called by a ring. Without a worker beside us, PostgreSQL calls one that lives elsewhere.
    """

    def __init__(self, *, heard: bool) -> None:
        self.heard = heard
        self.rung = asyncio.Event()
        self.hands: LocalWorker | None = None
        self.promised = 0
        """Hands that mails are about to be given to."""

    async def hand_in(
        self,
        database: Database,
        kind: str,
        payload: Mapping[str, Any],
        give_up_after: timedelta,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        """Put a mail into the outbox, and see to it that it leaves soon.

        What is given ``beside`` the payload is not written down: a worker that gets it need not ask for it.

        Raises:
            Unavailable: PostgreSQL is away; the mail may be in the outbox, and then leaves.
        """
        # The worker, wherever it lives, writes the request's name into its log lines.
        payload = {**payload, "request": request_id.get()}
        hands = self.hands if self.hands and self.hands.free() > self.promised else None
        if hands is None:
            async with database.statement() as db:
                await db.outbox.create(kind, payload, give_up_after, notify=not self.heard)
            self.rung.set()
            return
        self.promised += 1
        try:
            async with database.statement() as db:
                job = await db.outbox.create_leased(kind, payload, give_up_after, LEASE)
        finally:
            self.promised -= 1
        hands.take(replace(job, payload={**payload, **(beside or {})}))
