"""The steps of flows that have taken effect."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from database.guess_budgets import BUDGET
from database.repository import Repository, delete_batch
from database.tables import guess_budgets, guess_reservations, used_flow

# One statement marks the step and refunds what the flow's code had reserved: a flow that succeeds costs nothing, its
# own wrong guesses included. Only the reservation of this flow is refunded, whatever was guessed at others meanwhile.
_MARK = (
    insert(used_flow)
    .values(flow_id=bindparam("flow_id"), step=bindparam("step"))
    .on_conflict_do_nothing()
    .returning(used_flow.c.flow_id)
    .cte("mark")
)
_RELEASED = (
    delete(guess_reservations)
    .where(guess_reservations.c.flow_id == _MARK.c.flow_id)
    .returning(*(guess_reservations.c[name] for name in (*BUDGET, "guesses")))
    .cte("released")
)
_REFUND = (
    update(guess_budgets)
    .values(guesses=guess_budgets.c.guesses + _RELEASED.c.guesses)
    .where(*(guess_budgets.c[name] == _RELEASED.c[name] for name in BUDGET))
    .returning(guess_budgets.c.digits)
    .cte("refund")
)
_MARK_AND_REFUND = select(_MARK.c.flow_id).add_cte(_REFUND)
_MARK_ALONE = insert(used_flow).on_conflict_do_nothing().returning(used_flow.c.flow_id)
_DELETE_EXPIRED = delete_batch(used_flow, used_flow.c.used_at < func.now() - text("interval '1 day'"))

RESCUE = "rescue"
"""The step of a used rescue code, whose digest stands in place of a flow's id."""


class UsedFlowRepo(Repository):
    """Lets a step take effect only once, by the primary key of its table."""

    async def mark(self, flow_id: bytes, step: str) -> bool:
        """Mark that the step takes effect in this transaction; return False if it took effect before.

        This refunds what the flow has reserved of the ladder.
        """
        return await self._has_row(_MARK_AND_REFUND, {"flow_id": flow_id, "step": step})

    async def mark_rescue_code(self, digest: bytes) -> bool:
        """Mark that a rescue code is used in this transaction; return False if it was used before."""
        return await self._has_row(_MARK_ALONE, {"flow_id": digest, "step": RESCUE})

    async def delete_expired(self) -> bool:
        """Delete a batch of marks older than a day, longer than any flow lives; return True if there may be more."""
        return await self._has_more(_DELETE_EXPIRED)
