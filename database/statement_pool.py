"""Connections that stay out of the pool between two single statements.

To check one out and in again takes the process longer than PostgreSQL takes to answer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool


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

    def __init__(self, engine: AsyncEngine, most: int, capacity: int) -> None:
        """At most ``most`` of all the connections that the engine may have, of which there are ``capacity``."""
        self._engine = engine
        self._most = most
        self._capacity = capacity
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
        """Keep it for the next statement, or return it to the pool, where somebody may wait for it."""
        if len(self._ready) < self._most and not self._are_all_taken:
            self._ready.append(connection)
        else:
            await connection.close()

    async def make_room(self) -> None:
        """Return one to the pool if it has no other left for a transaction."""
        if self._ready and self._are_all_taken:
            await self._ready.pop().close()

    @property
    def _are_all_taken(self) -> bool:
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout() >= self._capacity

    async def close(self) -> None:
        """Return all of them to the pool, and from now on each as it comes."""
        self._most = 0
        while self._ready:
            await self._ready.pop().close()
