"""The flow engine: session key, order of steps, expiry, guesses, single use and resend, once for all flows."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from uuid import UUID

from backend.audit import AuditBuffer
from backend.flows.claimed_step import ClaimedStep
from backend.flows.session_key import is_from_device, new_flow_id, new_session_key, read_session_key
from backend.keys import Keys
from backend.mail.backlog import BacklogGauge
from backend.mail.enqueue import MailQueue
from backend.protection.code_attempts import CodeAttempt, CodeAttempts
from backend.protection.mail_limits import MailLimits
from backend.protection.rate_limits import Permit, RateLimits
from database.engine import Database
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo
from models.context.masking import masked_name
from models.errors import CodeReplaced, FlowGone, ServiceError, StepOutOfOrder, Unavailable, WrongCode
from models.requests.flows import RESCUE_LENGTH
from models.responses.flows import FlowOpened, NextStep
from models.values.flow import CODE_MAIL, TRIES, WAITING, FlowSpec, Step
from redis_tools.flow_store import Claim, CodeOutdated, CodeWrong, FlowKey, FlowStore, NewFlow, Proof
from redis_tools.pipeline import Command, Valkey
from redis_tools.rescue_store import delete_rescue_code

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PostRoom:
    """What a flow knows of the mail: whether too much of it waits, how to say that there is more, and its buckets."""

    backlog: BacklogGauge
    bell: MailQueue
    mail_limits: MailLimits


@dataclass(frozen=True, slots=True)
class FlowRules:
    """The numbers of a flow, in seconds."""

    ttl: int
    resend_after: int
    resends: int


@dataclass(frozen=True, slots=True)
class FlowEngine:
    """Begins flows, lets them pass their steps, and ends them."""

    valkey: Valkey
    store: FlowStore
    database: Database
    keys: Keys
    limits: RateLimits
    attempts: CodeAttempts
    post: PostRoom
    rules: FlowRules
    audit_buffer: AuditBuffer

    def refuse_when_mail_is_stuck(self) -> None:
        """Called first at every start: a code that will not leave in time is not promised.

        Raises:
            Unavailable: too much mail waits, or has waited for too long.
        """
        self.post.backlog.refuse_when_long()

    async def begin(self, spec: FlowSpec, permit: Permit, email: str, data: Mapping[str, Any]) -> FlowOpened:
        """Open a flow about an address, and have a code mailed.

        Valkey first, PostgreSQL last: if the commit fails, what is left is a flow that expires alone.

        Raises:
            Unavailable: Valkey or PostgreSQL is away.
        """
        flow_id = new_flow_id(from_device=bool(permit.device))
        session_key, digest = new_session_key(flow_id, spec.holder)
        step = spec.steps[0]
        opening = NewFlow(step, self.keys.subject(email), permit.device, permit.epoch, data)
        key = FlowKey(flow_id, spec.name, digest)
        await self.valkey.pipeline(
            self.store.create(key, opening, ttl=self.rules.ttl, resend=self.rules.resend_after), *permit.refunds
        )
        await self._enqueue(flow_id, serial=0, beside={WAITING: opening.waiting(spec.name)})
        return FlowOpened(
            session_key=session_key,
            expires_in=self.rules.ttl,
            resend_after=self.rules.resend_after,
            next=spec.path(step),
        )

    async def resend(self, spec: FlowSpec, session_key: str, client: ClientInfo) -> FlowOpened:
        """Have another code mailed; the key stays, and so do the guesses spent.

        Raises:
            FlowGone, StepOutOfOrder, TooSoon: see `FlowStore.resend`.
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey or PostgreSQL is away; the wish is not counted.
        """
        self.refuse_when_mail_is_stuck()
        await self.limits.charge_step(client)
        key = read_session_key(session_key, spec.name, spec.holder)
        resent = await self.store.resend(key, Step.CODE, resends=self.rules.resends, resend=self.rules.resend_after)
        try:
            await self._enqueue(key.flow_id, serial=resent.serial)
        except BaseException:
            await self.store.undo_resend(key.flow_id, resent)
            raise
        return FlowOpened(
            session_key=session_key,
            expires_in=resent.expires_in,
            resend_after=self.rules.resend_after,
            next=spec.path(Step.CODE),
        )

    async def _enqueue(self, flow_id: bytes, serial: int, beside: Mapping[str, Any] | None = None) -> None:
        job = {"flow": flow_id.hex(), "serial": serial}
        await self.post.bell.hand_in(self.database, CODE_MAIL, job, timedelta(seconds=self.rules.ttl), beside)

    @asynccontextmanager
    async def passing(
        self, spec: FlowSpec, session_key: str, step: Step, client: ClientInfo, code: str | None = None
    ) -> AsyncIterator[ClaimedStep]:
        """Claim one step of a living flow; what happens inside takes effect once, or not at all.

        Afterwards the flow is closed or has advanced; after a failure the step is free again and nothing is charged;
        after a refusal the step is free again and the try stays spent.

        Raises:
            FlowGone, StepOutOfOrder: see `FlowStore.claim`.
            WrongCode: the guess is counted; it was wrong, or no code was valid.
            CodeReplaced: the code's epoch is over (design.md, section 4, "thermostat"); another one is mailed.
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey or PostgreSQL is away.
        """
        if (step is Step.CODE) != (code is not None):
            raise TypeError("the code step, and no other, takes a code")
        if code is None:
            await self.limits.charge_step(client)
            key, attempt, rescue = read_session_key(session_key, spec.name, spec.holder), CodeAttempt(), None
            claim = await self.store.claim(key, step, tries=TRIES[step], epoch=0, proof=Proof(()))
        else:
            key = read_session_key(session_key, spec.name, spec.holder)
            rescue = sha256(code.encode()).digest() if len(code) == RESCUE_LENGTH else None
            attempt = await self.attempts.reserve(
                spec.name,
                client,
                from_device=is_from_device(key.flow_id),
                rescue=rescue.hex() if rescue else "",
            )
            claim = await self._compare(spec, key, code, attempt, client)
        passage = ClaimedStep(self.database, claim, rescue)
        try:
            yield passage
        except BaseException as error:
            if passage.over:
                await self._settle(spec, passage, attempt, rescue)
            else:
                await self._release(claim, attempt, error)
            raise
        await self._settle(spec, passage, attempt, rescue)

    async def _compare(
        self, spec: FlowSpec, key: FlowKey, code: str, attempt: CodeAttempt, client: ClientInfo
    ) -> Claim:
        """Claim the code step; the thermostat is told what became of the guess."""
        held_at = attempt.reservation.level if attempt.reservation else 0
        proof = Proof(self.keys.code_macs(key.flow_id, spec.name, code), attempt.rescued, held_at)
        try:
            return await self.store.claim(key, Step.CODE, tries=TRIES[Step.CODE], epoch=attempt.epoch, proof=proof)
        except CodeWrong as wrong:
            await self.attempts.record_failure(attempt, client)
            self._note_wrong(spec, wrong, client)
            raise WrongCode(attempts_left=wrong.tries_left) from wrong
        except (FlowGone, StepOutOfOrder):
            await self._cancel(attempt)
            raise
        except CodeOutdated as outdated:
            await self._cancel(attempt)
            try:
                await self._enqueue(key.flow_id, outdated.serial)
            except BaseException:
                await self.store.undo_replacement(key.flow_id, outdated)
                raise
            raise CodeReplaced("A newer code is on its way; use that one.") from outdated

    def _note_wrong(self, spec: FlowSpec, wrong: CodeWrong, client: ClientInfo) -> None:
        user_id, email = wrong.data.get("user_id"), masked_name(wrong.data["email"])
        whose = UUID(user_id) if user_id else None
        self.audit_buffer.record(
            Event.CODE_REFUSED, anonymous_actor(client, spec.holder), whose, purpose=spec.name, email=email
        )

    async def _cancel(self, attempt: CodeAttempt) -> None:
        calls = attempt.cancel()
        if calls:
            await self.valkey.pipeline(*calls)

    async def _settle(self, spec: FlowSpec, passage: ClaimedStep, attempt: CodeAttempt, rescue: bytes | None) -> None:
        """Close the flow or move it on, now that PostgreSQL has the effect, and give back what it explains."""
        claim = passage.claim
        back = self._given_back(spec, claim, attempt, rescue)
        if passage.next is None:
            try:
                await self.valkey.pipeline(self.store.delete(claim), *back, *passage.calls)
            except Unavailable:
                # The effect stands, and its mark in PostgreSQL refuses a second one; the record expires alone.
                log.warning("a finished flow could not be closed")
            return
        onward = passage.next
        session_key, digest = new_session_key(claim.flow_id, spec.holder) if onward.new_key else ("", b"")
        advance = self.store.advance(claim, onward.step, digest, onward.data)
        expires_in, *_ = await self.valkey.pipeline(advance, *back)
        passage.next_step = NextStep(session_key=session_key, expires_in=expires_in, next=spec.path(onward.step))

    def _given_back(
        self, spec: FlowSpec, claim: Claim, attempt: CodeAttempt, rescue: bytes | None
    ) -> tuple[Command[Any], ...]:
        if claim.step != Step.CODE:
            return ()
        back = attempt.succeeded(claim.owed)
        # A rescue code stands for the mail that brought it, which is given back, too.
        mails = claim.mails + (1 if rescue else 0)
        if mails:
            back += (self.post.mail_limits.bucket(spec.name, claim.subject, claim.device).refund(mails),)
        if rescue:
            back += (delete_rescue_code(rescue.hex()),)
        return back

    async def _release(self, claim: Claim, attempt: CodeAttempt, error: BaseException) -> None:
        """Let the step be tried again. A refusal spends the try, a failure does not; a right code is never charged."""
        refused = isinstance(error, ServiceError) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR
        step = Step(claim.step)
        free = self.store.release(claim, refund=step is not Step.CODE and not refused, tries=TRIES[step])
        try:
            await self.valkey.pipeline(free, *attempt.cancel())
        except Unavailable:
            # The claim ends by itself in a few seconds.
            log.warning("a claimed step could not be released")
