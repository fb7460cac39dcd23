"""The connection to PostgreSQL: transactions with a deadline, and the repositories inside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property

import asyncpg
from sqlalchemy import event, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from database.administrators import AdministratorRepo
from database.audit import AuditRepo
from database.faults import unavailable_when_away
from database.ladder import LadderRepo
from database.mail_queue import MailQueueRepo
from database.outbox import OutboxRepo
from database.roles import RoleRepo
from database.sessions import SessionRepo
from database.signing_keys import SigningKeyRepo
from database.used_flows import UsedFlowRepo
from database.user_search import UserSearchRepo
from database.user_transfer import UserTransferRepo
from database.users import UserRepo
from models.settings.groups import DatabaseSettings


class Db:
    """One connection while it is ours, and the repositories that speak through it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    @cached_property
    def users(self) -> UserRepo:
        """Accounts."""
        return UserRepo(self.connection)

    @cached_property
    def roles(self) -> RoleRepo:
        """Roles and permissions."""
        return RoleRepo(self.connection)

    @cached_property
    def user_transfers(self) -> UserTransferRepo:
        """Accounts by the thousand, on their way in or out."""
        return UserTransferRepo(self.connection)

    @cached_property
    def used_flows(self) -> UsedFlowRepo:
        """Steps that took effect."""
        return UsedFlowRepo(self.connection)

    @cached_property
    def ladder(self) -> LadderRepo:
        """Budgets of guesses."""
        return LadderRepo(self.connection)

    @cached_property
    def outbox(self) -> OutboxRepo:
        """Mail that waits."""
        return OutboxRepo(self.connection)

    @cached_property
    def sessions(self) -> SessionRepo:
        """Sessions."""
        return SessionRepo(self.connection)

    @cached_property
    def signing_keys(self) -> SigningKeyRepo:
        """Signing keys."""
        return SigningKeyRepo(self.connection)

    @cached_property
    def audit(self) -> AuditRepo:
        """The audit log."""
        return AuditRepo(self.connection)

    @cached_property
    def administrators(self) -> AdministratorRepo:
        """Who may do everything."""
        return AdministratorRepo(self.connection)

    @cached_property
    def user_search(self) -> UserSearchRepo:
        """Accounts, to be searched."""
        return UserSearchRepo(self.connection)

    @cached_property
    def mail_queue(self) -> MailQueueRepo:
        """Mail that waits or was given up, to be looked at."""
        return MailQueueRepo(self.connection)


class Database:
    """Hands out transactions. Each has a deadline, so that a PostgreSQL that hangs is told from one that is busy."""

    def __init__(self, engine: AsyncEngine, timeout: float) -> None:
        self._autocommit = engine
        self._committed = engine.execution_options(isolation_level="READ COMMITTED")
        self._frozen = engine.execution_options(isolation_level="REPEATABLE READ")
        self._timeout = timeout

    def transaction(self) -> AbstractAsyncContextManager[Db]:
        """Everything inside is committed together when the block ends, and not at all when it raises.

        Raises:
            Unavailable: PostgreSQL is away or slower than the deadline; whether a commit stood is then unknown.
        """
        return self._begin(self._committed)

    def snapshot(self) -> AbstractAsyncContextManager[Db]:
        """A transaction whose reads agree with each other: all of them see PostgreSQL as it was at the first one.

        Raises:
            Unavailable: see `transaction`.
        """
        return self._begin(self._frozen)

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[Db]:
        with unavailable_when_away():
            async with asyncio.timeout(self._timeout):
                async with engine.begin() as connection:
                    yield Db(connection)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Db]:
        """For one statement, or for reads that need not agree: each commits by itself, with no BEGIN and COMMIT.

        Raises:
            Unavailable: PostgreSQL is away or slower than the deadline.
        """
        with unavailable_when_away():
            async with asyncio.timeout(self._timeout), self._autocommit.connect() as connection:
                try:
                    yield Db(connection)
                except (asyncio.CancelledError, TimeoutError):
                    # The server may still be at work for it: the next statement must not wait behind this one.
                    await connection.invalidate()
                    raise

    @asynccontextmanager
    async def long_snapshot(self) -> AsyncIterator[Db]:
        """For reading much: all inside see the database as it was at the first statement, and nothing is committed.

        Each statement has its deadline, and the whole has none.

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
    """Leaves without a farewell: a server that hangs would let a caller whose deadline is over wait for it."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the driver's signature
        """Cut the connection."""
        self.terminate()


def _refuse_closed(connection: DBAPIConnection, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    """Notice a restart of PostgreSQL before a request does, at no round trip: the driver knows its socket is closed."""
    driver = getattr(connection, "driver_connection", None)
    if driver is None or driver.is_closed():
        raise InvalidatePoolError


# security.md, section 4: no statement, lock or forgotten transaction may hold others up.
_REQUEST_TIMEOUTS = {"statement_timeout": "2000", "lock_timeout": "1000", "idle_in_transaction_session_timeout": "5000"}

# A command that moves people may be kept waiting by the pipe that it reads or writes.
_BATCH_TIMEOUTS = {"statement_timeout": "60000", "lock_timeout": "10000", "idle_in_transaction_session_timeout": "0"}
_BATCH_TIMEOUT = 60.0
"""Seconds that a transaction, or a statement, of such a command may take."""


@asynccontextmanager
async def open_database(settings: DatabaseSettings, *, batch: bool = False) -> AsyncIterator[Database]:
    """Open the pool; connections are made when they are first needed, so that a late PostgreSQL stops no start.

    At leisure no request waits for an answer: a minute is then soon enough.
    """
    timeout = _BATCH_TIMEOUT if batch else settings.timeout
    url = make_url(settings.url.get_secret_value()).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        # The driver knows libpq's sslmode by another name.
        url.set(query={}),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_overflow,
        pool_timeout=1,
        # Most of what is asked is one statement: a connection is set up for these, and made ready for a transaction.
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,  # an error's text goes to the log, and a password hash must not go with it
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
