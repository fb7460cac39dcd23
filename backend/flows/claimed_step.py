"""A claimed step: one transaction in which it takes effect, and how its flow goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic

from backend.protection.code_attempts import CodeAttempt
from database.engine import Database
from database.repositories import Db
from models.errors import FlowGone
from models.responses.flows import NextStep
from models.values.flow import Data_co, FlowSpec, Step
from models.values.flow_data import FlowData
from redis_tools.command import Command
from redis_tools.flow_store import Claim


@dataclass(frozen=True, slots=True)
class Transition:
    """How a flow goes on after a step."""

    step: Step
    new_key: bool
    data: FlowData | None
    """The flow's data from now on, if it has changed."""


@dataclass(slots=True, eq=False)
class ClaimedStep(Generic[Data_co]):
    """A step that one request may take; the claim lasts a few seconds."""

    database: Database
    spec: FlowSpec[Data_co]
    claim: Claim[Data_co]
    attempt: CodeAttempt
    rescue: bytes | None = None
    """Digest of the rescue code that was given, if one was."""
    committed: bool = field(init=False, default=False)
    """Whether the step has taken effect, in this request or before."""
    on_close: list[Command[None]] = field(init=False, default_factory=list)
    """Commands that are sent to Valkey together with the end of the flow."""
    transition: Transition | None = field(init=False, default=None)
    next_step: NextStep | None = field(init=False, default=None)
    """The answer to a step with a transition, once the step is settled."""

    @property
    def data(self) -> Data_co:
        """The flow's data."""
        return self.claim.data

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Db]:
        """Open the one transaction in which the step takes effect; an exception inside undoes it, the mark included.

        Raises:
            FlowGone: the step or the rescue code took effect before, and Valkey has forgotten.
            Unavailable: PostgreSQL is away; another attempt finds out whether the commit stood.
        """
        async with self.database.transaction() as db:
            marked = await db.used_flows.mark(self.claim.flow_id, self.claim.step)
            if marked and self.rescue:
                marked = await db.used_flows.mark_rescue_code(self.rescue)
            if not marked:
                self.committed = True
                raise FlowGone
            yield db
        self.committed = True

    def advance(self, step: Step, *, new_key: bool, data: FlowData | None = None) -> None:
        """Go on to another step instead of closing the flow, with a new session key or with the same one."""
        self.transition = Transition(step, new_key, data)
