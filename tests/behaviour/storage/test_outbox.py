"""The outbox in a real PostgreSQL: how long a dead letter is kept, and what is deleted with its user."""

from __future__ import annotations

import json
from uuid import UUID

from sqlalchemy import text

from database.engine import Database

ALICE, BOB = UUID(int=1), UUID(int=2)
_PUT = text(
    "INSERT INTO outbox (kind, payload, give_up_at, failed_at) "
    "VALUES (:kind, CAST(:payload AS jsonb), now(), now() - make_interval(hours => :hours))"
)


async def put_dead(database: Database, kind: str, user: UUID, hours: int, *, sealed: bool) -> None:
    payload = {"user_id": str(user)} | ({"sealed": "gAAAAA"} if sealed else {})
    async with database.transaction() as db:
        await db.connection.execute(_PUT, {"kind": kind, "payload": json.dumps(payload), "hours": hours})


async def kept(database: Database) -> set[str]:
    async with database.statement() as db:
        return set((await db.connection.execute(text("SELECT kind FROM outbox"))).scalars())


async def test_a_dead_letter_is_kept_for_a_fortnight_and_one_with_an_address_for_two_days(database: Database) -> None:
    for hours in (47, 49, 14 * 24 - 1, 14 * 24 + 1):
        await put_dead(database, f"plain {hours}", ALICE, hours, sealed=False)
        await put_dead(database, f"sealed {hours}", ALICE, hours, sealed=True)
    async with database.statement() as db:
        await db.outbox.delete_expired()
    assert await kept(database) == {"plain 47", "plain 49", "plain 335", "sealed 47"}


async def test_a_users_mail_is_deleted_with_the_user_and_no_other_mail(database: Database) -> None:
    await put_dead(database, "his", ALICE, 1, sealed=False)
    await put_dead(database, "to his old address", ALICE, 1, sealed=True)
    await put_dead(database, "hers", BOB, 1, sealed=False)
    async with database.statement() as db:
        assert [mail.kind for mail in await db.outbox.list_of_user(ALICE)] == ["his", "to his old address"]
        await db.outbox.delete_of_user(ALICE)
    assert await kept(database) == {"to his old address", "hers"}
