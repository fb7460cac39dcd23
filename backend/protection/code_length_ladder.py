"""The ladder chooses the length of an account's next code: a year of guessing stays below 0.1 % (service.md, 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from backend.derived_keys import Keys
from database.engine import Database
from database.guess_budgets import BudgetKey
from database.users import User
from models.values.code_length_ladder import GUESSES_PER_FLOW, TOP, Rung
from redis_tools.flow_store import SETTLE_MARGIN, FlowStore

_BATCH = 500
"""Flows settled at a time, once a minute; far fewer end unused in a minute."""

Rungs = Mapping[str, Sequence[Rung]]
"""The rungs of each purpose, shortest first."""


def ladder_subjects(user: User, keys: Keys) -> list[bytes]:
    """Return the names of a user's budgets: the id and, where an address is to be confirmed, its keyed hash."""
    return [user.id.bytes, bytes.fromhex(keys.subject(user.email))]


class CodeLengthLadder:
    """Reserves the guesses of a code before it is mailed, and refunds those that its flow has not used.

    Only a flow's own guesses come back. A success that refilled the budget would hand it to an attacker who guesses
    beside the owner: three wrong guesses at each of the owner's log-ins are 10 % a year (threats.md, 2.2).

    Each method raises `Unavailable` while a server that it needs cannot be reached.
    """

    def __init__(
        self, database: Database, store: FlowStore, unknown_devices: Rungs, known_devices: Rungs, flow_ttl: int
    ) -> None:
        self._database = database
        self._store = store
        self._unknown_devices = unknown_devices
        self._known_devices = known_devices
        self._life = timedelta(seconds=flow_ttl + SETTLE_MARGIN)

    def shortest(self, purpose: str) -> int:
        """Return the digits of a code while the account's budget lasts."""
        return self._unknown_devices[purpose][0].digits

    async def reserve(self, flow_id: bytes, whose: BudgetKey) -> int:
        """Reserve three guesses from the lowest rung that has as many, once per flow; return the rung's digits."""
        rungs = (self._known_devices if whose.device else self._unknown_devices)[whose.purpose]
        async with self._database.statement() as db:
            for rung in rungs:
                if rung.budget and (digits := await db.ladder.reserve(flow_id, whose, rung, self._life)):
                    return digits
        return TOP

    async def refund_unused(self) -> None:
        """Refund the guesses that finished flows have not used.

        A flow that Valkey has forgotten counts as used: that is the safe side.
        """
        while True:
            async with self._database.statement() as db:
                due = await db.ladder.list_due(_BATCH)
            if not due:
                return
            used = await self._store.count_wrong_guesses(due)
            unused = [0 if count is None else GUESSES_PER_FLOW - min(max(count, 0), GUESSES_PER_FLOW) for count in used]
            async with self._database.statement() as db:
                await db.ladder.settle(due, unused)
            if len(due) < _BATCH:
                return

    async def delete_full_budgets(self) -> None:
        """Delete the rows of budgets that are full again; no row means a full budget."""
        for on_devices, ladders in ((False, self._unknown_devices), (True, self._known_devices)):
            for rung in {rung for rungs in ladders.values() for rung in rungs if rung.budget}:
                async with self._database.statement() as db:
                    await db.ladder.delete_full(rung, on_devices=on_devices)
