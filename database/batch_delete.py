"""Deletes expired rows in batches, because a statement may take only two seconds, however many rows there are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Table, delete, literal, select, tuple_
from sqlalchemy.sql.dml import ReturningDelete

BATCH_SIZE = 5_000
"""Most rows that one statement deletes."""


def delete_batch(table: Table, condition: ColumnElement[bool]) -> ReturningDelete[int]:
    """Return a statement that deletes one batch of the rows that meet the condition."""
    key = list(table.primary_key.columns)
    chosen = select(*key).where(condition).limit(BATCH_SIZE)
    return delete(table).where(tuple_(*key).in_(chosen)).returning(literal(1))


def has_more(result: CursorResult[Any]) -> bool:
    """Return whether the statement has deleted a full batch, so that there may be more."""
    return len(result.all()) == BATCH_SIZE
