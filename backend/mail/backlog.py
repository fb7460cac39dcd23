"""Watches how much mail waits, so that a start is refused when its code would come too late."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from database.engine import Database
from models.errors import Unavailable

log = logging.getLogger(__name__)

_CHECK_EVERY = 2.0
"""Seconds; a thousand mails do not pile up much faster than that."""


class BacklogGauge:
    """The backlog of one kind of mail, read from PostgreSQL every two seconds; a start reads it from memory."""

    def __init__(self, database: Database, kind: str, max_jobs: int, max_age: timedelta) -> None:
        self._database = database
        self._kind = kind
        self._max_jobs = max_jobs
        self._max_age = max_age
        self._is_long = False

    def refuse_when_long(self) -> None:
        """Raise `Unavailable` while too much mail waits; the answer is the same with and without an account."""
        if self._is_long:
            raise Unavailable("Mail is not leaving at the moment.", retry_after=30)

    async def watch(self) -> None:
        """Check the backlog until cancelled."""
        while True:
            try:
                await self._check()
            except Unavailable:
                # Starts need PostgreSQL themselves and are refused without it; the last result stays.
                pass
            except Exception:
                log.exception("the mail backlog could not be read")
            await asyncio.sleep(_CHECK_EVERY)

    async def _check(self) -> None:
        async with self._database.statement() as db:
            jobs, oldest = await db.outbox.get_backlog(self._kind)
        is_long = jobs > self._max_jobs or oldest > self._max_age
        if is_long != self._is_long:
            log.warning("mail backlog %s", "too long, starts are refused" if is_long else "short again")
        self._is_long = is_long
