"""Expired rows are deleted in batches, so that each statement ends in time, however many rows there are."""

from __future__ import annotations

from sqlalchemy import text

from database.engine import Database
from database.repository import BATCH_SIZE


async def test_rows_beyond_one_batch_are_deleted_by_the_next_statements(database: Database) -> None:
    piled_up = (
        "INSERT INTO used_flow (flow_id, step, used_at) SELECT int4send(n), 'code', now() - interval '2 days' "
        f"FROM generate_series(1, {BATCH_SIZE + 7}) AS n"
    )
    async with database.transaction() as db:
        await db.connection.execute(text(piled_up))
    for left, may_be_more in ((7, True), (0, False), (0, False)):
        async with database.statement() as db:
            assert await db.used_flows.delete_expired() is may_be_more
            assert (await db.connection.execute(text("SELECT count(*) FROM used_flow"))).scalar_one() == left
