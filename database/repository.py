"""What every repository is built on, and the parts of statements that several of them have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Interval,
    Select,
    Table,
    bindparam,
    delete,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningDelete

BATCH_SIZE = 5_000
"""Most rows that one statement of `delete_batch` deletes: it has two seconds, however many rows have accumulated."""


def interval(name: str) -> BindParameter[timedelta]:
    """Return a parameter that is a duration."""
    return bindparam(name, type_=Interval)


def array_of(query: Select[Any]) -> ColumnElement[Any]:
    """Return the values of a query of one column as an array, which is empty if there are none."""
    [column] = query.selected_columns
    return func.array(query.scalar_subquery(), type_=ARRAY(column.type))


def delete_batch(table: Table, condition: ColumnElement[bool]) -> ReturningDelete[int]:
    """Return a statement that deletes one batch of the rows that meet the condition."""
    key = list(table.primary_key.columns)
    chosen = select(*key).where(condition).limit(BATCH_SIZE)
    return delete(table).where(tuple_(*key).in_(chosen)).returning(literal(1))


class Repository:
    """The statements about one subject, executed over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _has_row(self, statement: Executable, values: Mapping[str, object]) -> bool:
        """Execute a statement that returns at most one row; return whether there was one."""
        return (await self._connection.execute(statement, values)).one_or_none() is not None

    async def _has_more(self, statement: ReturningDelete[int], **values: object) -> bool:
        """Execute a statement of `delete_batch`; return whether the batch was full, so that there may be more."""
        return len((await self._connection.execute(statement, values)).all()) == BATCH_SIZE
