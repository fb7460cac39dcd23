"""Which step of which flow has had its effect."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.batch_delete import delete_batch, has_more
from database.tables import guess_budgets, guess_reservations, used_flow

# One statement marks the step and gives back what the flow's code had reserved: a flow that succeeds costs nothing,
# its own wrong guesses included. Only what this flow reserved comes back, whatever else was guessed meanwhile.
_MARK = (
    insert(used_flow)
    .values(flow_id=bindparam("flow_id"), step=bindparam("step"))
    .on_conflict_do_nothing()
    .returning(used_flow.c.flow_id)
    .cte("mark")
)
_BACK = (
    delete(guess_reservations)
    .where(guess_reservations.c.flow_id == _MARK.c.flow_id)
    .returning(*(guess_reservations.c[name] for name in ("subject", "purpose", "device", "digits", "guesses")))
    .cte("back")
)
_REFUND = (
    update(guess_budgets)
    .values(guesses=guess_budgets.c.guesses + _BACK.c.guesses)
    .where(*(guess_budgets.c[name] == _BACK.c[name] for name in ("subject", "purpose", "device", "digits")))
    .returning(guess_budgets.c.digits)
    .cte("refund")
)
_MARK_AND_REFUND = select(_MARK.c.flow_id).add_cte(_REFUND)
_MARK_ALONE = insert(used_flow).on_conflict_do_nothing().returning(used_flow.c.flow_id)
_FORGET_OLD = delete_batch(used_flow, used_flow.c.used_at < func.now() - text("interval '1 day'"))

RESCUE = "rescue"
"""The step under which a rescue code is marked, by its own digest in place of a flow's id."""


class UsedFlowRepo:
    """The arbiter of single use: its primary key has the last word."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def mark(self, flow_id: bytes, step: str) -> bool:
        """Note that the step takes effect in this transaction; False when it took effect before.

        What the flow has reserved of the ladder comes back with it.
        """
        marked = await self._connection.execute(_MARK_AND_REFUND, {"flow_id": flow_id, "step": step})
        return marked.one_or_none() is not None

    async def mark_rescue_code(self, digest: bytes) -> bool:
        """Note that a rescue code is used in this transaction; False when it was used before."""
        marked = await self._connection.execute(_MARK_ALONE, {"flow_id": digest, "step": RESCUE})
        return marked.one_or_none() is not None

    async def delete_expired(self) -> bool:
        """Drop some marks of flows that ended long ago, a day is far beyond any's life; True when there may be more."""
        return has_more(await self._connection.execute(_FORGET_OLD))
