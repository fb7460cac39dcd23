"""A claimed step: it takes effect once, and then says how its flow goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from database.engine import Database, Db
from models.errors import FlowGone
from models.responses.flows import NextStep
from models.values.flow import Step
from redis_tools.flow_store import Claim
from redis_tools.pipeline import Command


@dataclass(frozen=True, slots=True)
class Advance:
    """How a flow goes on after a step."""

    step: Step
    new_key: bool
    data: Mapping[str, Any] | None
    """What the flow is about from now on, if that has changed."""


class ClaimedStep:
    """The way through one step, open for a few seconds."""

    def __init__(self, database: Database, claim: Claim, rescue: bytes | None) -> None:
        """``rescue`` is the digest of the rescue code that opened it, if one did."""
        self._database = database
        self._rescue = rescue
        self.claim = claim
        self.over = False
        self.calls: list[Command[None]] = []
        self.next: Advance | None = None
        self.next_step: NextStep | None = None

    @property
    def data(self) -> Mapping[str, Any]:
        """What the flow is about."""
        return self.claim.data

    @asynccontextmanager
    async def effect(self) -> AsyncIterator[Db]:
        """The one transaction in which the step takes effect; what raises inside undoes all of it, the mark included.

        Raises:
            FlowGone: the step took effect before, or the rescue code did, and Valkey forgot.
            Unavailable: PostgreSQL is away; a repeat finds out whether the commit stood.
        """
        async with self._database.transaction() as db:
            marked = await db.used_flows.mark(self.claim.flow_id, self.claim.step)
            if marked and self._rescue:
                marked = await db.used_flows.mark_rescue_code(self._rescue)
            if not marked:
                self.over = True
                raise FlowGone
            yield db
        self.over = True

    def along(self, call: Command[None]) -> None:
        """Ask this of Valkey, too, when the flow is closed."""
        self.calls.append(call)

    def advance(self, step: Step, *, new_key: bool, **learned: Any) -> None:
        """Go on to another step instead of closing the flow, with a new session key or with the old one.

        ``learned`` is added to what the flow is about.
        """
        self.next = Advance(step, new_key, {**self.data, **learned} if learned else None)
