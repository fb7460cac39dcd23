"""One administrator remains, however many are made fewer at the same moment."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.access.authority import ensure_admin_remains
from database.engine import Database, open_database
from database.users import NewUser
from devstack.stack import Stack
from models.errors import LastAdministrator
from models.settings.servers import DatabaseSettings
from models.values.locale import Locale

_BLOCK = text("UPDATE users SET blocked_at = now() WHERE id = :user")
_DELETE = text("DELETE FROM users WHERE id = :user")
_TAKE_THE_ROLE = text("DELETE FROM user_roles WHERE user_id = :user AND role = 'admin'")
_GIVE_THE_ROLE = text("INSERT INTO user_roles VALUES (:user, 'admin')")
WAYS = (_BLOCK, _DELETE, _TAKE_THE_ROLE)
NAMES = ("blocked", "deleted", "stripped")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def database_url(stack: Stack) -> str:
    stack.postgres.create_database("administrators", template="migrated")
    return stack.postgres.url("administrators")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(DatabaseSettings.model_validate({"url": database_url})) as opened:
        async with opened.statement() as db:
            await db.connection.execute(text("DELETE FROM users"))
        yield opened


async def plant(database: Database, role: str) -> UUID:
    name, new = f"planted-{next(_numbers)}", uuid.uuid4()
    async with database.transaction() as db:
        user = NewUser(new, f"{name}@example.com", name, "!", Locale.EN)
        assert await db.users.create(user, role) == "added"
    return new


async def make_fewer(database: Database, user_id: UUID, way: object) -> bool:
    try:
        async with database.transaction() as db:
            member = await db.users.find_for_update(user_id)
            assert member is not None
            await db.connection.execute(way, {"user": user_id})  # type: ignore[call-overload] # a text with a parameter
            if "admin" in member.roles:
                await ensure_admin_remains(db)
    except LastAdministrator:
        return False
    return True


async def remaining(database: Database) -> int:
    async with database.statement() as db:
        return await db.roles.count_admins()


@pytest.mark.parametrize(
    "ways", list(itertools.product(WAYS, WAYS)), ids=[" and ".join(pair) for pair in itertools.product(NAMES, NAMES)]
)
async def test_of_two_who_go_at_the_same_moment_one_remains(ways: tuple[object, object], database: Database) -> None:
    for _ in range(3):
        two = [await plant(database, "admin") for _ in range(2)]
        went = await asyncio.gather(*(make_fewer(database, *each) for each in zip(two, ways, strict=True)))
        assert sorted(went) == [False, True]
        assert await remaining(database) == 1
        async with database.statement() as db:
            await db.connection.execute(text("DELETE FROM users"))


async def test_somebody_who_becomes_one_while_others_wait_for_his_row_is_one_for_them(database: Database) -> None:
    new = await plant(database, "user")

    async def roles() -> tuple[str, ...]:
        async with database.transaction() as db:
            member = await db.users.find_for_update(new)
            assert member is not None
            return member.roles

    async with database.transaction() as db:
        await db.users.find_for_update(new)
        await db.connection.execute(_GIVE_THE_ROLE, {"user": new})
        waiting = asyncio.create_task(roles())
        while not (await db.connection.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted"))).all():
            assert not waiting.done()
            await asyncio.sleep(0.01)
    # Taken for a plain user, he could be blocked without a count: and the one who counted on him would be gone, too.
    assert await waiting == ("admin", "user")
