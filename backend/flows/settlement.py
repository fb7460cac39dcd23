"""Settles a claimed step in Valkey: closes or advances its flow after a success, releases the step after a failure."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from backend.flows.claimed_step import ClaimedStep
from backend.flows.session_key import new_session_key
from backend.protection.mail_limits import MailLimits
from models.errors import ServiceError, Unavailable
from models.responses.flows import NextStep
from models.values.flow import TRIES, Data_co, Step
from models.values.flow_data import FlowData
from redis_tools.command import Command
from redis_tools.flow_store import FlowStore
from redis_tools.pipeline import Valkey
from redis_tools.rescue_codes import delete_rescue_code

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Ends claims, and refunds what a success explains."""

    valkey: Valkey
    store: FlowStore
    mail_limits: MailLimits

    @asynccontextmanager
    async def settling(self, step: ClaimedStep[Data_co]) -> AsyncIterator[ClaimedStep[Data_co]]:
        """Settle the step at the end of the block, according to what happened inside."""
        try:
            yield step
        except BaseException as error:
            if step.committed:
                await self._settle(step)
            else:
                await self._release(step, error)
            raise
        await self._settle(step)

    async def _settle(self, step: ClaimedStep[FlowData]) -> None:
        claim, refunds = step.claim, self._refunds(step)
        if step.transition is None:
            try:
                await self.valkey.pipeline(self.store.delete(claim), *refunds, *step.on_close)
            except Unavailable:
                # PostgreSQL has the effect, and its mark refuses a second one; the record expires alone.
                log.warning("a finished flow could not be closed")
            return
        after = step.transition
        session_key, digest = new_session_key(claim.flow_id, step.spec.holder) if after.new_key else ("", b"")
        advance = self.store.advance(claim, after.step, digest, after.data)
        expires_in, *_ = await self.valkey.pipeline(advance, *refunds)
        step.next_step = NextStep(session_key=session_key, expires_in=expires_in, next=step.spec.path(after.step))

    def _refunds(self, step: ClaimedStep[FlowData]) -> tuple[Command[Any], ...]:
        claim = step.claim
        if claim.step is not Step.CODE:
            return ()
        refunds = step.attempt.succeeded(claim.owed)
        # A rescue code stands for the mail that brought it, which is refunded, too.
        mails = claim.mails + (1 if step.rescue else 0)
        if mails:
            refunds += (self.mail_limits.bucket(step.spec.name, claim.subject, claim.device).refund(mails),)
        if step.rescue:
            refunds += (delete_rescue_code(step.rescue.hex()),)
        return refunds

    async def _release(self, step: ClaimedStep[FlowData], error: BaseException) -> None:
        """Let the step be tried again. A refusal spends the try, a failure does not; a right code is never charged."""
        claim = step.claim
        refused = isinstance(error, ServiceError) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR
        refund = claim.step is not Step.CODE and not refused
        release = self.store.release(claim, refund=refund, tries=TRIES[claim.step])
        try:
            await self.valkey.pipeline(release, *step.attempt.cancel())
        except Unavailable:
            # The claim ends by itself in a few seconds.
            log.warning("a claimed step could not be released")
