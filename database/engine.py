"""The connection pool of PostgreSQL, and the three ways to use it: statement, transaction, snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
from sqlalchemy import event, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from database.driver_errors import unavailable_when_away
from database.repositories import Db
from models.settings.servers import DatabaseSettings

# threats.md, section 4: no statement, lock or forgotten transaction may block other requests for long.
_REQUEST_TIMEOUTS = {"statement_timeout": "2000", "lock_timeout": "1000", "idle_in_transaction_session_timeout": "5000"}

# The import and the export of users may have to wait for the pipe that they read or write.
_BATCH_TIMEOUTS = {"statement_timeout": "60000", "lock_timeout": "10000", "idle_in_transaction_session_timeout": "0"}
_BATCH_TIMEOUT = 60.0
"""Seconds that a transaction, or a statement, of such a command may take."""


class Database:
    """Opens transactions, snapshots and single statements, each with a deadline: PostgreSQL may hang."""

    def __init__(self, engine: AsyncEngine, timeout: float) -> None:
        self._autocommit = engine
        self._committed = engine.execution_options(isolation_level="READ COMMITTED")
        self._frozen = engine.execution_options(isolation_level="REPEATABLE READ")
        self._timeout = timeout

    def transaction(self) -> AbstractAsyncContextManager[Db]:
        """Open a transaction: it commits when the block ends, and rolls back when the block raises.

        Raises:
            Unavailable: PostgreSQL is away or slower than the deadline; a commit may then have succeeded or not.
        """
        return self._begin(self._committed)

    def snapshot(self) -> AbstractAsyncContextManager[Db]:
        """Open a transaction whose reads agree with each other: all see the database as the first one saw it.

        Raises:
            Unavailable: see `transaction`.
        """
        return self._begin(self._frozen)

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[Db]:
        with unavailable_when_away():
            async with asyncio.timeout(self._timeout), engine.begin() as connection:
                yield Db(connection)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Db]:
        """Open a connection for one statement, or for reads that need not agree: each commits alone, without BEGIN.

        Raises:
            Unavailable: PostgreSQL is away or slower than the deadline.
        """
        with unavailable_when_away():
            async with asyncio.timeout(self._timeout), self._autocommit.connect() as connection:
                try:
                    yield Db(connection)
                except (asyncio.CancelledError, TimeoutError):
                    # The server may still be executing: the next statement must not wait behind this one.
                    await connection.invalidate()
                    raise

    @asynccontextmanager
    async def long_snapshot(self) -> AsyncIterator[Db]:
        """Open a snapshot for much data: each statement has its deadline, the whole has none; nothing is committed.

        Raises:
            Unavailable: PostgreSQL is away or slower than the deadline.
        """
        with unavailable_when_away():
            async with self._frozen.connect() as connection:
                yield Db(connection)

    async def ping(self) -> None:
        """Return when PostgreSQL answers.

        Raises:
            Unavailable: it does not.
        """
        async with self.statement() as db:
            await db.connection.execute(select(1))


class _Connection(asyncpg.Connection):  # type: ignore[misc] # the driver ships no types
    """Closes without a goodbye message: to send it, a request past its deadline would wait for a hung server."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the driver's signature
        """Cut the connection."""
        self.terminate()


def _refuse_closed(connection: DBAPIConnection, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    """Notice a restart of PostgreSQL before a request does, without a round trip: the driver sees the closed socket."""
    driver = getattr(connection, "driver_connection", None)
    if driver is None or driver.is_closed():
        raise InvalidatePoolError


@asynccontextmanager
async def open_database(settings: DatabaseSettings, *, batch: bool = False) -> AsyncIterator[Database]:
    """Open the pool. Connections are made when first needed: a start does not depend on PostgreSQL.

    ``batch`` gives each statement a minute, for a command that no request waits for.
    """
    timeout = _BATCH_TIMEOUT if batch else settings.timeout
    url = make_url(settings.url.get_secret_value()).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        # The driver knows libpq's sslmode by another name.
        url.set(query={}),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_overflow,
        pool_timeout=1,
        # Most uses are one statement: connections are set up for these, and switched for a transaction.
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,  # the text of an error is logged, and must not contain a password hash
        connect_args={
            "connection_class": _Connection,
            "timeout": 1,
            **({"ssl": url.query["sslmode"]} if "sslmode" in url.query else {}),
            "command_timeout": timeout,
            "server_settings": {
                "application_name": "auth",
                "jit": "off",
                **(_BATCH_TIMEOUTS if batch else _REQUEST_TIMEOUTS),
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    try:
        yield Database(engine, timeout)
    finally:
        await engine.dispose()
