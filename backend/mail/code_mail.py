"""Mails with a code: whether one may be sent, how many digits the code has, and what it costs the ladder."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from uuid import UUID

from backend.derived_keys import Keys
from backend.mail.smtp_pool import SmtpPool
from backend.protection.code_length_ladder import CodeLengthLadder
from backend.protection.known_devices import device_ladder
from backend.protection.mail_limits import MailLimits
from database.guess_budgets import BudgetKey
from models.errors import Unavailable
from models.values.flow import WaitingFlow
from models.values.locale import Locale
from redis_tools.flow_store import FlowStore, MintedCode
from redis_tools.pipeline import Valkey
from redis_tools.rescue_codes import save_rescue_code
from redis_tools.thermostat import Thermostat, ThermostatState
from template_message.render import MailTemplates

_SOON = 1.0
"""Seconds between minting and SMTP's 250 below which the code's life is not started anew."""

_RESCUE_BYTES = 16
"""128 bits (service.md, section 4): too many to guess, so that attempts need not be counted."""

_FEW_LEFT = 1
"""Mails left in the bucket at which a mail carries a rescue code: the mail after the next may be refused."""


@dataclass(frozen=True, slots=True)
class MailPermit:
    """Allows one mail to be sent."""

    left: int
    """How many more may follow it at once."""
    floor: int
    """The least number of digits that the purpose's thermostat allows."""
    epoch: int
    """Of the thermostat, when the floor was read."""


@dataclass(frozen=True, slots=True)
class CodeSpec:
    """What a code has to be: the rung that pays for it, its digits, and the epoch in which they were chosen."""

    rung: int
    digits: int
    epoch: int


@dataclass(frozen=True, slots=True)
class CodeMailRequest:
    """A code that is to be mailed."""

    flow_id: bytes
    serial: int
    flow: WaitingFlow
    locale: Locale
    account_id: UUID | None
    """The account whose ladder pays, if the address has one."""


class _NotWanted(Exception):
    """The flow has ended, or a newer code was minted, while this one was prepared."""


@dataclass(frozen=True, slots=True)
class CodeMail:
    """Mints codes and mails them. Its methods may raise `Unavailable`, and what `SmtpPool.send` raises."""

    valkey: Valkey
    store: FlowStore
    keys: Keys
    ladder: CodeLengthLadder
    thermostats: Mapping[str, Thermostat]
    mail_limits: MailLimits
    templates: MailTemplates
    smtp_pool: SmtpPool
    ttl: int

    @asynccontextmanager
    async def mail_permit(self, flow: WaitingFlow) -> AsyncIterator[MailPermit | None]:
        """Take one from the address's mail bucket; None when it is empty. A mail that does not leave is refunded."""
        purpose = flow.spec.name
        bucket = self.mail_limits.bucket(purpose, flow.subject, flow.device)
        # Attempts from unknown devices do not lengthen the codes of a known one.
        thermostat = None if flow.device else self.thermostats.get(purpose)
        taken, *answers = await self.valkey.pipeline(
            bucket.consume(), *([thermostat.get_state()] if thermostat else [])
        )
        if not taken.allowed:
            yield None
            return
        readings: list[ThermostatState] = answers
        try:
            yield MailPermit(taken.left, *((readings[0].digits, readings[0].epoch) if readings else (0, 0)))
        except BaseException:
            with suppress(Unavailable):
                await self.valkey.execute(bucket.refund())
            raise

    async def send(self, request: CodeMailRequest) -> None:
        """Mint a code of the length that is due, and mail it; do nothing if the mail bucket is empty."""
        flow = request.flow
        with suppress(_NotWanted):
            async with self.mail_permit(flow) as permit:
                if permit is None:
                    return
                rung = flow.rung or await self.ladder.reserve(request.flow_id, _budget_of(request))
                digits = max(rung, permit.floor)
                under_attack = permit.left <= _FEW_LEFT or digits > self.ladder.shortest(flow.spec.name)
                rescue = await self._new_rescue_code(flow) if under_attack else ""
                await self._mint_and_send(request, CodeSpec(rung, digits, permit.epoch), rescue)

    async def _new_rescue_code(self, flow: WaitingFlow) -> str:
        """Return a rescue code for this address and purpose: a flood of mails brings the owner a way in."""
        code = base64.b32encode(secrets.token_bytes(_RESCUE_BYTES)).decode().rstrip("=")
        await self.valkey.execute(save_rescue_code(sha256(code.encode()).hexdigest(), flow.spec.name, flow.subject))
        return code

    async def _mint_and_send(self, request: CodeMailRequest, spec: CodeSpec, rescue: str) -> None:
        """Make the code valid before SMTP has it, so that no reader is too quick; start its life anew at SMTP's 250."""
        flow = request.flow
        code = f"{secrets.randbelow(10**spec.digits):0{spec.digits}d}"
        mac = self.keys.code_macs(request.flow_id, flow.spec.name, code)[0]
        if not await self.store.set_code(
            request.flow_id, MintedCode(mac, request.serial, spec.rung, spec.epoch), self.ttl
        ):
            raise _NotWanted
        minted_at = monotonic()
        minutes = max(1, self.ttl // 60)
        mail = self.templates.render(flow.spec.mail, request.locale, code=code, minutes=minutes, rescue=rescue)
        await self.smtp_pool.send(flow.data.email, mail)
        if monotonic() - minted_at < _SOON:
            return
        # The mail has left. A retry because Valkey is away would mail another code and make this one invalid; without
        # the renewal this one lives a few seconds less.
        with suppress(Unavailable):
            await self.store.renew_code(request.flow_id, mac, self.ttl)


def _budget_of(request: CodeMailRequest) -> BudgetKey:
    """Return whose ladder pays: the account's or, before there is one, the address's."""
    flow = request.flow
    subject = request.account_id.bytes if request.account_id else bytes.fromhex(flow.subject)
    return BudgetKey(subject, flow.spec.name, device_ladder(flow.device))
