"""The ladder in PostgreSQL: what is left of each budget of guesses, and what valid codes have reserved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import (
    Boolean,
    Double,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import IntegrityError

from database.repository import Repository, interval
from database.tables import guess_budgets, guess_reservations
from models.responses.export import GuessBudget
from models.values.code_length_ladder import GUESSES_PER_FLOW, Rung


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """The owner of a budget, the purpose, and the known device; the device is empty for unknown devices."""

    subject: bytes
    purpose: str
    device: str


BUDGET = tuple(guess_budgets.primary_key.columns.keys())
"""The columns that name a budget, in the table of reservations as well."""

_GUESSES = cast(bindparam("guesses"), Integer)
_BURST = cast(bindparam("burst"), Double)
_YEARS = cast(func.extract("epoch", func.now() - guess_budgets.c.refilled_at), Double) / (365 * 86_400)
_REFILLED = func.least(_BURST, guess_budgets.c.guesses + cast(bindparam("per_year"), Double) * _YEARS)

# One statement takes from the budget and records the reservation. Two at the same moment wait for each other at the
# row; a budget that was never used has no row and is full.
_TAKEN = (
    insert(guess_budgets)
    .values(
        subject=bindparam("subject"),
        purpose=bindparam("purpose"),
        device=bindparam("device"),
        digits=bindparam("digits"),
        guesses=_BURST - _GUESSES,
    )
    .on_conflict_do_update(
        index_elements=list(guess_budgets.primary_key),
        set_={"guesses": _REFILLED - _GUESSES, "refilled_at": func.now()},
        where=_REFILLED >= _GUESSES,
    )
    .returning(guess_budgets.c.digits)
    .cte("taken")
)
_RESERVE = (
    insert(guess_reservations)
    .from_select(
        ["flow_id", "subject", "purpose", "device", "digits", "guesses", "settle_at"],
        select(
            bindparam("flow_id", type_=LargeBinary),
            bindparam("subject", type_=LargeBinary),
            bindparam("purpose", type_=Text),
            bindparam("device", type_=Text),
            _TAKEN.c.digits,
            _GUESSES,
            func.now() + interval("life"),
        ),
    )
    .returning(guess_reservations.c.digits)
)
_RESERVED = select(guess_reservations.c.digits).where(guess_reservations.c.flow_id == bindparam("flow_id"))
_DUE = (
    select(guess_reservations.c.flow_id)
    .where(guess_reservations.c.settle_at <= func.now())
    .order_by(guess_reservations.c.settle_at)
    .limit(bindparam("limit", type_=Integer))
)
_ENDED = (
    func.unnest(bindparam("flow_ids", type_=ARRAY(LargeBinary)), bindparam("unspent", type_=ARRAY(Integer)))
    .table_valued("flow_id", "unspent", name="ended")
    .render_derived()
)
_SETTLED = (
    delete(guess_reservations)
    .where(guess_reservations.c.flow_id == _ENDED.c.flow_id)
    .returning(*(guess_reservations.c[name] for name in BUDGET), _ENDED.c.unspent)
    .cte("settled")
)
_SETTLED_BUDGET = [_SETTLED.c[name] for name in BUDGET]
# Summed first: of several rows with the same target an UPDATE uses one.
_BACK = select(*_SETTLED_BUDGET, func.sum(_SETTLED.c.unspent).label("unspent")).group_by(*_SETTLED_BUDGET).cte("back")
# A refund may overfill a budget: the next read is bounded by the burst.
_SETTLE = (
    update(guess_budgets)
    .values(guesses=guess_budgets.c.guesses + _BACK.c.unspent)
    .where(*(guess_budgets.c[name] == _BACK.c[name] for name in BUDGET))
)
_DELETE_FULL = delete(guess_budgets).where(
    guess_budgets.c.digits == bindparam("digits"),
    (guess_budgets.c.device != literal_column("''")) == cast(bindparam("on_devices"), Boolean),
    _REFILLED >= _BURST,
)
_SUBJECTS = bindparam("subjects", type_=ARRAY(LargeBinary))
_SHOWN = ("purpose", "device", "digits", "guesses")
_BUDGETS = (
    select(*(guess_budgets.c[name] for name in _SHOWN), guess_budgets.c.refilled_at.label("at"))
    .where(guess_budgets.c.subject == func.any(_SUBJECTS))
    .order_by(guess_budgets.c.purpose, guess_budgets.c.device, guess_budgets.c.digits)
)
_RESERVATIONS = (
    select(*(guess_reservations.c[name] for name in _SHOWN), guess_reservations.c.settle_at.label("at"))
    .where(guess_reservations.c.subject == func.any(_SUBJECTS))
    .order_by(guess_reservations.c.settle_at)
)
_DELETE_BUDGETS = delete(guess_budgets).where(guess_budgets.c.subject == func.any(_SUBJECTS))
_DELETE_RESERVATIONS = delete(guess_reservations).where(guess_reservations.c.subject == func.any(_SUBJECTS))


class LadderRepo(Repository):
    """Reserves guesses of budgets and refunds them. All times are by PostgreSQL's clock."""

    async def reserve(self, flow_id: bytes, budget: BudgetKey, rung: Rung, life: timedelta) -> int | None:
        """Reserve the guesses of one code, once a flow; return the length of the rung, or None if too few are left.

        If the flow has reserved before, the result is the rung of that reservation.
        """
        values = {"flow_id": flow_id, **asdict(budget), **_terms(rung), "guesses": GUESSES_PER_FLOW, "life": life}
        try:
            reserved = await self._connection.execute(_RESERVE, values)
        except IntegrityError:
            reserved = await self._connection.execute(_RESERVED, {"flow_id": flow_id})
        digits: int | None = reserved.scalar_one_or_none()
        return digits

    async def list_due(self, limit: int) -> list[bytes]:
        """Return flows that have ended and are not settled yet."""
        return list((await self._connection.execute(_DUE, {"limit": limit})).scalars())

    async def settle(self, flow_ids: Sequence[bytes], unspent: Sequence[int]) -> None:
        """Refund what ended flows have not used; once each, even if several workers settle at the same time."""
        await self._connection.execute(_SETTLE, {"flow_ids": list(flow_ids), "unspent": list(unspent)})

    async def delete_full(self, rung: Rung, *, on_devices: bool) -> None:
        """Delete the rows of budgets that are full again."""
        await self._connection.execute(_DELETE_FULL, {**_terms(rung), "on_devices": on_devices})

    async def list_of_subjects(self, subjects: Sequence[bytes]) -> tuple[list[GuessBudget], list[GuessBudget]]:
        """Return the budgets of these subjects, and the reservations of their valid codes."""
        budgets = await self._connection.execute(_BUDGETS, {"subjects": list(subjects)})
        taken = await self._connection.execute(_RESERVATIONS, {"subjects": list(subjects)})
        return [GuessBudget(**row) for row in budgets.mappings()], [GuessBudget(**row) for row in taken.mappings()]

    async def delete_of_subjects(self, subjects: Sequence[bytes]) -> None:
        """Delete the budgets and reservations of an account that is being deleted."""
        await self._connection.execute(_DELETE_RESERVATIONS, {"subjects": list(subjects)})
        await self._connection.execute(_DELETE_BUDGETS, {"subjects": list(subjects)})


def _terms(rung: Rung) -> dict[str, int]:
    assert rung.budget is not None, "the last rung has no budget"
    return {"digits": rung.digits, **asdict(rung.budget)}
