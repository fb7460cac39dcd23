"""Statements over the driver itself: the few that every log-in asks.

SQLAlchemy writes them, once. What it does again at each execution, for results and types that are not needed here,
costs a process more than the driver and PostgreSQL do, and a storm of log-ins pays for it with hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from database.statement_pool import driver_of

_DIALECT = dialect()  # type: ignore[no-untyped-call] # the library's gap


class DirectStatement:
    """One statement that answers with one row or none, and commits by itself: see `Database.statement`."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self._text = str(compiled)
        self._parameters = compiled.positiontup or []
        self._constants = compiled.params
        types = {name: compiled.binds[name].type for name in self._parameters}
        processors = {name: kind.dialect_impl(_DIALECT).bind_processor(_DIALECT) for name, kind in types.items()}
        self._processors = {name: processor for name, processor in processors.items() if processor}

    async def row(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Ask it; the driver's own exceptions come through.

        Raises:
            RuntimeError: in a transaction, whose BEGIN SQLAlchemy sends with its own first statement.
        """
        if (
            connection.sync_connection is None
            or "isolation_level" in connection.sync_connection.get_execution_options()
        ):
            raise RuntimeError("a direct statement belongs into no transaction")
        given = {**self._constants, **values}
        for name, processor in self._processors.items():
            given[name] = processor(given[name])
        row: Mapping[str, Any] | None = await driver_of(connection).fetchrow(
            self._text, *(given[name] for name in self._parameters)
        )
        return row
