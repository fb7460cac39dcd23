"""The ladder's statements against a real PostgreSQL: what they reserve, refund, refill and delete."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

import pytest
from sqlalchemy import text

from database.engine import Database
from database.guess_budgets import BudgetKey
from models.values.code_length_ladder import Budget, Rung

FOUR = Rung(4, Budget(6, 2))
LIFE = timedelta(minutes=30)


@pytest.fixture
def alice() -> BudgetKey:
    return BudgetKey(secrets.token_bytes(16), "recover", "")


async def reserve(database: Database, whose: BudgetKey, flow_id: bytes | None = None) -> int | None:
    async with database.statement() as db:
        return await db.ladder.reserve(flow_id or secrets.token_bytes(16), whose, FOUR, LIFE)


async def run(database: Database, statement: str) -> list[tuple[object, ...]]:
    async with database.transaction() as db:
        answer = await db.connection.execute(text(statement))
        return [tuple(row) for row in answer] if answer.returns_rows else []


async def end_all(database: Database, unspent: int) -> int:
    """Let all flows end with so many guesses unspent; return how many there were."""
    await run(database, "UPDATE guess_reservations SET settle_at = now()")
    async with database.statement() as db:
        due = await db.ladder.list_due(100)
        await db.ladder.settle(due, [unspent] * len(due))
    return len(due)


async def test_a_budget_of_six_bears_two_codes(database: Database, alice: BudgetKey) -> None:
    assert [await reserve(database, alice) for _ in range(3)] == [4, 4, None]


async def test_codes_that_come_at_once_share_a_budget(database: Database, alice: BudgetKey) -> None:
    reserved = await asyncio.gather(*(reserve(database, alice) for _ in range(8)))
    assert sorted(one or 0 for one in reserved) == [0] * 6 + [4] * 2


async def test_a_flow_reserves_once_however_often_it_asks(database: Database, alice: BudgetKey) -> None:
    flow_id = secrets.token_bytes(16)
    assert [await reserve(database, alice, flow_id) for _ in range(5)] == [4] * 5
    assert await reserve(database, alice) == 4


@pytest.mark.parametrize("other", ["purpose", "device", "subject"])
async def test_a_budget_is_one_accounts_for_one_purpose_on_one_device(
    database: Database, alice: BudgetKey, other: str
) -> None:
    for _ in range(2):
        await reserve(database, alice)
    elsewhere = {"subject": alice.subject, "purpose": alice.purpose, "device": ""}
    elsewhere[other] = secrets.token_bytes(16) if other == "subject" else "another"
    assert await reserve(database, BudgetKey(**elsewhere)) == 4  # type: ignore[arg-type] # one of them is bytes
    assert await reserve(database, alice) is None


async def test_unused_guesses_of_a_flow_are_refunded_once(database: Database, alice: BudgetKey) -> None:
    for _ in range(2):
        await reserve(database, alice)
    assert await end_all(database, unspent=2) == 2
    assert await end_all(database, unspent=2) == 0
    assert [await reserve(database, alice) for _ in range(2)] == [4, None]


async def test_spent_guesses_are_not_refunded(database: Database, alice: BudgetKey) -> None:
    for _ in range(2):
        await reserve(database, alice)
    await end_all(database, unspent=0)
    assert await reserve(database, alice) is None


async def test_a_success_refunds_the_reservation_of_its_flow(database: Database, alice: BudgetKey) -> None:
    mine, theirs = secrets.token_bytes(16), secrets.token_bytes(16)
    await reserve(database, alice, theirs)
    await reserve(database, alice, mine)
    async with database.transaction() as db:
        assert await db.used_flows.mark(mine, "code")
    async with database.transaction() as db:
        assert not await db.used_flows.mark(mine, "code")
    assert [await reserve(database, alice) for _ in range(2)] == [4, None]


async def test_a_success_that_is_rolled_back_refunds_nothing(database: Database, alice: BudgetKey) -> None:
    mine = secrets.token_bytes(16)
    for flow_id in (mine, None):
        await reserve(database, alice, flow_id)

    async def fail() -> None:
        async with database.transaction() as db:
            await db.used_flows.mark(mine, "code")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await reserve(database, alice) is None


async def test_a_budget_refills_by_the_year_and_never_above_its_burst(database: Database, alice: BudgetKey) -> None:
    for _ in range(2):
        await reserve(database, alice)
    await end_all(database, unspent=0)
    await run(database, "UPDATE guess_budgets SET refilled_at = refilled_at - interval '365 days'")
    assert await reserve(database, alice) is None  # two of the three guesses that a code needs
    await run(database, "UPDATE guess_budgets SET refilled_at = refilled_at - interval '183 days'")
    assert [await reserve(database, alice) for _ in range(2)] == [4, None]
    await run(database, "UPDATE guess_budgets SET refilled_at = refilled_at - interval '100 years'")
    assert [await reserve(database, alice) for _ in range(3)] == [4, 4, None]


async def test_no_more_than_the_reservation_is_refunded(database: Database, alice: BudgetKey) -> None:
    await reserve(database, alice)
    await end_all(database, unspent=3)
    await run(database, "UPDATE guess_budgets SET guesses = guesses + 100")
    assert [await reserve(database, alice) for _ in range(3)] == [4, 4, None]


async def test_full_budgets_are_deleted_and_the_others_are_not(database: Database, alice: BudgetKey) -> None:
    full, empty = BudgetKey(b"full", "login", ""), alice
    await reserve(database, full)
    await end_all(database, unspent=3)
    await reserve(database, empty)
    async with database.statement() as db:
        await db.ladder.delete_full(FOUR, on_devices=True)
    assert len(await run(database, "SELECT 1 FROM guess_budgets")) == 2
    async with database.statement() as db:
        await db.ladder.delete_full(FOUR, on_devices=False)
    assert await run(database, "SELECT subject FROM guess_budgets") == [(alice.subject,)]
    # The refund of a code whose budget has no row any more changes nothing: the budget is full.
    assert [await reserve(database, full) for _ in range(3)] == [4, 4, None]
