"""The flow engine: session key, order of steps, expiry, attempts and resend, once for all flows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from backend.audit import AuditBuffer
from backend.derived_keys import Keys
from backend.flows.claimed_step import ClaimedStep
from backend.flows.session_key import is_from_device, new_flow_id, new_session_key, read_session_key
from backend.flows.settlement import Settlement
from backend.mail.backlog import BacklogGauge
from backend.mail.enqueue import MailQueue
from backend.protection.code_attempts import CodeAttempt, CodeAttempts
from backend.protection.rate_limits import Permit, RateLimits
from database.engine import Database
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo
from models.context.masking import masked_name
from models.errors import CodeReplaced, FlowGone, StepOutOfOrder, WrongCode
from models.requests.flows import RESCUE_LENGTH
from models.responses.flows import FlowOpened
from models.settings.rules import CodeSettings, FlowSettings
from models.values.flow import CODE_MAIL, TRIES, Data_co, FlowSpec, Step, WaitingFlow
from models.values.flow_data import FlowData
from redis_tools.flow_store import Claim, CodeOutdated, CodeWrong, FlowKey, FlowStore, NewFlow, Proof
from redis_tools.pipeline import Valkey


@dataclass(frozen=True, slots=True)
class FlowEngine:
    """Starts flows, claims their steps, and has their codes mailed."""

    valkey: Valkey
    store: FlowStore
    database: Database
    keys: Keys
    limits: RateLimits
    code_attempts: CodeAttempts
    settlement: Settlement
    backlog: BacklogGauge
    mail_queue: MailQueue
    audit_buffer: AuditBuffer
    flow: FlowSettings
    code: CodeSettings

    def refuse_when_mail_is_stuck(self) -> None:
        """Refuse a start whose code would not leave in time; each start calls this first.

        Raises:
            Unavailable: too much mail waits, or has waited for too long.
        """
        self.backlog.refuse_when_long()

    async def start_flow(self, spec: FlowSpec[FlowData], permit: Permit, data: FlowData) -> FlowOpened:
        """Open a flow, and have a code mailed.

        Valkey first, PostgreSQL last: if the commit fails, only a flow is left, and it expires by itself.

        Raises:
            Unavailable: Valkey or PostgreSQL is away.
        """
        flow_id = new_flow_id(from_device=bool(permit.device))
        session_key, digest = new_session_key(flow_id, spec.holder)
        subject = self.keys.subject(data.email)
        create = self.store.create(
            FlowKey(flow_id, spec, digest),
            NewFlow(data, subject, permit.device, permit.epoch),
            ttl=self.flow.ttl,
            resend_after=self.code.resend_after,
        )
        await self.valkey.pipeline(create, *permit.refunds)
        await self._enqueue(flow_id, serial=0, hint=WaitingFlow(spec, data, subject, permit.device))
        return self._opened(spec, session_key, self.flow.ttl)

    async def resend_code(self, spec: FlowSpec[FlowData], session_key: str, client: ClientInfo) -> FlowOpened:
        """Have another code mailed; the session key and the number of attempts left stay the same.

        Raises:
            FlowGone, StepOutOfOrder, TooSoon: see `FlowStore.resend`.
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey or PostgreSQL is away; the resend is not counted.
        """
        self.refuse_when_mail_is_stuck()
        await self.limits.charge_step(client)
        key = read_session_key(session_key, spec)
        resent = await self.store.resend(key, resends=self.code.resends, resend_after=self.code.resend_after)
        try:
            await self._enqueue(key.flow_id, resent.serial)
        except BaseException:
            await self.store.undo_resend(key.flow_id, resent)
            raise
        return self._opened(spec, session_key, resent.expires_in)

    def _opened(self, spec: FlowSpec[FlowData], session_key: str, expires_in: int) -> FlowOpened:
        return FlowOpened(
            session_key=session_key,
            expires_in=expires_in,
            resend_after=self.code.resend_after,
            next=spec.path(Step.CODE),
        )

    async def _enqueue(self, flow_id: bytes, serial: int, hint: WaitingFlow | None = None) -> None:
        payload = {"flow": flow_id.hex(), "serial": serial}
        await self.mail_queue.enqueue(CODE_MAIL, payload, timedelta(seconds=self.flow.ttl), hint)

    @asynccontextmanager
    async def claim_step(
        self, spec: FlowSpec[Data_co], session_key: str, step: Step, client: ClientInfo
    ) -> AsyncIterator[ClaimedStep[Data_co]]:
        """Claim a step that takes no code; what the ``async with`` block does takes effect once, or not at all.

        Afterwards the flow is closed or has advanced; after a failure the step is free again and nothing is charged;
        after a refusal the step is free again and the try stays spent.

        Raises:
            FlowGone, StepOutOfOrder: see `FlowStore.claim`.
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey or PostgreSQL is away.
        """
        await self.limits.charge_step(client)
        claim = await self.store.claim(read_session_key(session_key, spec), step, tries=TRIES[step])
        async with self.settlement.settling(ClaimedStep(self.database, spec, claim, CodeAttempt())) as claimed:
            yield claimed

    @asynccontextmanager
    async def claim_code_step(
        self, spec: FlowSpec[Data_co], session_key: str, code: str, client: ClientInfo
    ) -> AsyncIterator[ClaimedStep[Data_co]]:
        """Compare the code and claim the code step; everything else is as in `claim_step`.

        Raises:
            FlowGone, StepOutOfOrder: see `FlowStore.claim`.
            WrongCode: the attempt is counted; the code was wrong, or no code was valid.
            CodeReplaced: the code's epoch is over (service.md, section 4, "thermostat"); another code is mailed.
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey or PostgreSQL is away.
        """
        key = read_session_key(session_key, spec)
        rescue = sha256(code.encode()).digest() if len(code) == RESCUE_LENGTH else None
        attempt = await self.code_attempts.reserve(
            spec.name, client, from_device=is_from_device(key.flow_id), rescue=rescue.hex() if rescue else ""
        )
        claim = await self._compare_code(key, code, attempt, client)
        async with self.settlement.settling(ClaimedStep(self.database, spec, claim, attempt, rescue)) as claimed:
            yield claimed

    async def _compare_code(
        self, key: FlowKey[Data_co], code: str, attempt: CodeAttempt, client: ClientInfo
    ) -> Claim[Data_co]:
        """Claim the code step; the thermostat learns the outcome of the attempt."""
        held_at = attempt.reservation.level if attempt.reservation else 0
        proof = Proof(self.keys.code_macs(key.flow_id, key.spec.name, code), attempt.rescued, held_at)
        try:
            return await self.store.claim(key, Step.CODE, tries=TRIES[Step.CODE], epoch=attempt.epoch, proof=proof)
        except CodeWrong as wrong:
            await self.code_attempts.record_failure(attempt, client)
            self._record_wrong_code(key.spec, wrong.data, client)
            raise WrongCode(attempts_left=wrong.tries_left) from wrong
        except (FlowGone, StepOutOfOrder):
            await self.valkey.pipeline(*attempt.cancel())
            raise
        except CodeOutdated as outdated:
            await self.valkey.pipeline(*attempt.cancel())
            try:
                await self._enqueue(key.flow_id, outdated.serial)
            except BaseException:
                await self.store.undo_replacement(key.flow_id, outdated)
                raise
            raise CodeReplaced("A newer code is on its way; use that one.") from outdated

    def _record_wrong_code(self, spec: FlowSpec[FlowData], data: FlowData, client: ClientInfo) -> None:
        actor, email = anonymous_actor(client, spec.holder), masked_name(data.email)
        self.audit_buffer.record(Event.CODE_REFUSED, actor, data.user_id, purpose=spec.name, email=email)
