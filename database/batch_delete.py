"""Drops what is over, some of it at a time: a statement has a second or two, whatever has piled up."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Table, delete, literal, select, tuple_
from sqlalchemy.sql.dml import ReturningDelete

BATCH_SIZE = 5_000
"""Rows that one statement drops at most."""


def delete_batch(table: Table, condition: ColumnElement[bool]) -> ReturningDelete[int]:
    """A statement that drops some of the rows for which the condition holds."""
    key = list(table.primary_key.columns)
    chosen = select(*key).where(condition).limit(BATCH_SIZE)
    return delete(table).where(tuple_(*key).in_(chosen)).returning(literal(1))


def has_more(result: CursorResult[Any]) -> bool:
    """Whether the statement has dropped as much as it may, so that there may be more."""
    return len(result.all()) == BATCH_SIZE
