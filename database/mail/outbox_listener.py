"""Wakes the mail worker the moment a job is committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import make_url

from database.driver_errors import unavailable_when_away
from database.mail.outbox import CHANNEL


@asynccontextmanager
async def listen(url: str, wake: asyncio.Event) -> AsyncIterator[asyncio.Event]:
    """Set ``wake`` on every notification; yield an event that is set when the connection is lost.

    LISTEN needs a connection of its own. A lost connection gets no more notifications: the caller must listen again.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    lost = asyncio.Event()
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with unavailable_when_away():
        connection = await asyncpg.connect(
            dsn, timeout=1, command_timeout=2, server_settings={"application_name": "auth outbox"}
        )
    try:
        connection.add_termination_listener(lambda _: lost.set())
        with unavailable_when_away():
            await connection.add_listener(CHANNEL, lambda *_: wake.set())
        yield lost
    finally:
        connection.terminate()
