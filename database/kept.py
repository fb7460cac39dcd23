"""Connections that stay out of the pool between two single statements.

To check one out and in again takes the process longer than PostgreSQL takes to answer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


def driver_of(connection: AsyncConnection) -> Any:
    """The driver's own connection, an `asyncpg.Connection` (it ships no types); None after a loss that was noticed."""
    kept = connection.sync_connection
    return kept.connection.driver_connection if kept is not None and not kept.invalidated else None


def _is_cut(connection: AsyncConnection) -> bool:
    """Whether PostgreSQL was restarted meanwhile; the driver knows, at no round trip."""
    driver = driver_of(connection)
    return driver is None or bool(driver.is_closed())


class KeptConnections:
    """A few connections of an engine, each for one statement at a time."""

    def __init__(self, engine: AsyncEngine, most: int) -> None:
        self._engine = engine
        self._most = most
        self._ready: list[AsyncConnection] = []

    async def take(self) -> AsyncConnection:
        """One that stands, or another one from the pool."""
        while self._ready:
            connection = self._ready.pop()
            if not _is_cut(connection):
                return connection
            await connection.close()
        return await self._engine.connect()

    async def give_back(self, connection: AsyncConnection) -> None:
        """Keep it for the next statement, or return it to the pool."""
        if len(self._ready) < self._most:
            self._ready.append(connection)
        else:
            await connection.close()

    async def close(self) -> None:
        """Return all of them to the pool."""
        while self._ready:
            await self._ready.pop().close()
