"""The ladder in PostgreSQL: what is left of each budget of guesses, and what valid codes have reserved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """The owner of a budget, the purpose, and the known device; the device is empty for unknown devices."""

    subject: bytes
    purpose: str
    device: str


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """What is left of a budget at ``at``; or what a mailed code has reserved until ``at``."""

    purpose: str
    device: str
    digits: int
    guesses: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """One rung: its length, the guesses that it bears at once and in a year, and the guesses that a code reserves."""

    digits: int
    burst: int
    per_year: int
    guesses: int


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
    .returning(
        guess_reservations.c.subject,
        guess_reservations.c.purpose,
        guess_reservations.c.device,
        guess_reservations.c.digits,
        _ENDED.c.unspent,
    )
    .cte("settled")
)
# Summed first: of several rows with the same target an UPDATE uses one.
_BACK = (
    select(
        _SETTLED.c.subject,
        _SETTLED.c.purpose,
        _SETTLED.c.device,
        _SETTLED.c.digits,
        func.sum(_SETTLED.c.unspent).label("unspent"),
    )
    .group_by(_SETTLED.c.subject, _SETTLED.c.purpose, _SETTLED.c.device, _SETTLED.c.digits)
    .cte("back")
)
# A refund may overfill a budget: the next read is bounded by the burst.
_SETTLE = (
    update(guess_budgets)
    .values(guesses=guess_budgets.c.guesses + _BACK.c.unspent)
    .where(*(guess_budgets.c[name] == _BACK.c[name] for name in ("subject", "purpose", "device", "digits")))
)
_DELETE_FULL = delete(guess_budgets).where(
    guess_budgets.c.digits == bindparam("digits"),
    (guess_budgets.c.device != literal_column("''")) == cast(bindparam("on_devices"), Boolean),
    _REFILLED >= _BURST,
)
_SUBJECTS = bindparam("subjects", type_=ARRAY(LargeBinary))
_BUDGETS = (
    select(*(guess_budgets.c[name] for name in ("purpose", "device", "digits", "guesses", "refilled_at")))
    .where(guess_budgets.c.subject == func.any(_SUBJECTS))
    .order_by(guess_budgets.c.purpose, guess_budgets.c.device, guess_budgets.c.digits)
)
_RESERVATIONS = (
    select(*(guess_reservations.c[name] for name in ("purpose", "device", "digits", "guesses", "settle_at")))
    .where(guess_reservations.c.subject == func.any(_SUBJECTS))
    .order_by(guess_reservations.c.settle_at)
)
_DELETE_BUDGETS = delete(guess_budgets).where(guess_budgets.c.subject == func.any(_SUBJECTS))
_DELETE_RESERVATIONS = delete(guess_reservations).where(guess_reservations.c.subject == func.any(_SUBJECTS))


class LadderRepo(Repository):
    """Reserves guesses of budgets and refunds them. All times are by PostgreSQL's clock."""

    async def reserve(self, flow_id: bytes, budget: BudgetKey, terms: Terms, life: timedelta) -> int | None:
        """Reserve the guesses of one code, once a flow; return the length of the rung, or None if too few are left.

        If the flow has reserved before, the result is the rung of that reservation.
        """
        values = {
            "flow_id": flow_id,
            "subject": budget.subject,
            "purpose": budget.purpose,
            "device": budget.device,
            "digits": terms.digits,
            "burst": terms.burst,
            "per_year": terms.per_year,
            "guesses": terms.guesses,
            "life": life,
        }
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

    async def delete_full(self, terms: Terms, *, on_devices: bool) -> None:
        """Delete the rows of budgets that are full again."""
        values = {"digits": terms.digits, "burst": terms.burst, "per_year": terms.per_year, "on_devices": on_devices}
        await self._connection.execute(_DELETE_FULL, values)

    async def list_of_subjects(self, subjects: Sequence[bytes]) -> tuple[list[BudgetLeft], list[BudgetLeft]]:
        """Return the budgets of these subjects, and the reservations of their valid codes."""
        budgets = await self._connection.execute(_BUDGETS, {"subjects": list(subjects)})
        taken = await self._connection.execute(_RESERVATIONS, {"subjects": list(subjects)})
        return [BudgetLeft(*row) for row in budgets], [BudgetLeft(*row) for row in taken]

    async def delete_of_subjects(self, subjects: Sequence[bytes]) -> None:
        """Delete the budgets and reservations of an account that is being deleted."""
        await self._connection.execute(_DELETE_RESERVATIONS, {"subjects": list(subjects)})
        await self._connection.execute(_DELETE_BUDGETS, {"subjects": list(subjects)})
