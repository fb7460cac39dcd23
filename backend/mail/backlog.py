"""Watches how much mail waits, so that a start can be refused when its code would come too late."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from database.engine import Database
from models.errors import Unavailable

log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0
"""Seconds between two looks; a thousand mails do not pile up much faster than that."""


class BacklogGauge:
    """The backlog of one kind of mail, looked at every other second; a start reads it from memory."""

    def __init__(self, database: Database, kind: str, most: int, oldest: timedelta) -> None:
        self._database = database
        self._kind = kind
        self._most = most
        self._oldest = oldest
        self._long = False

    def refuse_when_long(self) -> None:
        """Raise `Unavailable` while too much mail waits; the same answer for everybody, whoever has an account."""
        if self._long:
            raise Unavailable("Mail is not leaving at the moment.", retry_after=30)

    async def watch(self) -> None:
        """Keep looking until cancelled."""
        while True:
            try:
                async with self._database.statement() as db:
                    backlog = await db.outbox.get_backlog(self._kind)
            except Unavailable:
                # Starts need PostgreSQL themselves and say so; what was last seen stays.
                await asyncio.sleep(_LOOK_EVERY)
                continue
            except Exception:
                log.exception("the mail backlog could not be looked at")
                await asyncio.sleep(_LOOK_EVERY)
                continue
            is_long = backlog.jobs > self._most or backlog.oldest > self._oldest
            if is_long != self._long:
                log.warning("mail backlog %s", "too long, starts are refused" if is_long else "short again")
            self._long = is_long
            await asyncio.sleep(_LOOK_EVERY)
