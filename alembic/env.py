"""Runs the migrations, one process at a time."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from config import load_settings
from database.tables import metadata

_MIGRATION_LOCK = 7_365_627_168
"""An advisory lock: two containers that start together must not migrate at the same time."""


def _migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    # Every request behind a migration that waits for a lock waits, too: it is better to fail and to be run again.
    connection.execute(text("SET lock_timeout = '1s'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    url = make_url(load_settings().database.url.get_secret_value()).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, hide_parameters=True, connect_args={"timeout": 5})
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


asyncio.run(_main())
