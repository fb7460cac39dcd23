"""Mails that carry a code: how long it is, what it costs, and whether one may be sent at all."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from uuid import UUID

from backend.keys import Keys
from backend.mail.smtp_pool import SmtpPool
from backend.protection.code_length_ladder import CodeLengthLadder
from backend.protection.known_devices import device_ladder
from backend.protection.mail_limits import MailLimits
from database.ladder import BudgetKey
from models.errors import Unavailable
from models.values.flow import Step
from models.values.locale import Locale
from redis_tools.flow_store import FlowStore, WaitingFlow
from redis_tools.pipeline import Valkey
from redis_tools.rescue_store import save_rescue_code
from redis_tools.thermostat import Thermostat, ThermostatState
from template_message.render import MailTemplates

_SOON = 1.0
"""Seconds from minting to SMTP's 250 below which the code's ten minutes are not worth starting anew."""

_RESCUE_BYTES = 16
"""128 bits (design.md, section 4): nobody guesses it, so that nothing needs to be counted."""

_FEW_LEFT = 1
"""Mails left in the bucket at which a mail carries a rescue code: the next one but one may not come."""


@dataclass(frozen=True, slots=True)
class MailPermit:
    """What allows one mail to be sent."""

    left: int
    """How many more may follow it at once."""
    floor: int
    """The least number of digits that the purpose's thermostat allows."""
    epoch: int
    """Of the thermostat, when it said so."""


@dataclass(frozen=True, slots=True)
class CodeSpec:
    """What a code is to be like: the rung that pays for it, its digits, and the epoch in which they were chosen."""

    rung: int
    digits: int
    epoch: int


@dataclass(frozen=True, slots=True)
class CodeMailRequest:
    """A code that is wanted: for which flow, to whom, and for which account, if there is one yet."""

    flow_id: bytes
    serial: int
    waiting: WaitingFlow
    mail: str
    email: str
    locale: Locale
    owner: UUID | None


class _NotWanted(Exception):
    """The flow ended, or a newer code was minted, while this one was on its way."""


@dataclass(frozen=True, slots=True)
class CodeMail:
    """Mints codes and mails them. Its methods may raise what `Postman.send` raises."""

    valkey: Valkey
    store: FlowStore
    keys: Keys
    ladder: CodeLengthLadder
    thermostats: Mapping[str, Thermostat]
    mail_limits: MailLimits
    templates: MailTemplates
    postman: SmtpPool
    ttl: int

    @asynccontextmanager
    async def stamped(self, waiting: WaitingFlow) -> AsyncIterator[MailPermit | None]:
        """Take one from the address's mail bucket; None when it is empty. A mail that does not leave costs nothing.

        Raises:
            Unavailable: Valkey is away.
        """
        bucket = self.mail_limits.bucket(waiting.purpose, waiting.subject, waiting.device)
        # A known device is spared the thermostat: what is sprayed from elsewhere does not lengthen its codes.
        thermostat = None if waiting.device else self.thermostats.get(waiting.purpose)
        taken, *readings = await self.valkey.pipeline(
            bucket.consume(), *([thermostat.get_state()] if thermostat else [])
        )
        if not taken.allowed:
            yield None
            return
        shown: list[ThermostatState] = readings
        try:
            yield MailPermit(taken.left, *((shown[0].digits, shown[0].epoch) if shown else (0, 0)))
        except BaseException:
            with suppress(Unavailable):
                await self.valkey.execute(bucket.refund())
            raise

    async def send(self, letter: CodeMailRequest) -> None:
        """Mint a code of the length that is due, and mail it, unless the address was sent too many.

        Raises:
            Unavailable: PostgreSQL or Valkey is away.
        """
        waiting = letter.waiting
        with suppress(_NotWanted):
            async with self.stamped(waiting) as stamp:
                if stamp is None:
                    return
                rung = waiting.rung or await self.ladder.reserve(letter.flow_id, self._whose(letter))
                digits = max(rung, stamp.floor)
                pressed = stamp.left <= _FEW_LEFT or digits > self.ladder.shortest(waiting.purpose)
                rescue = await self._rescue(waiting) if pressed else ""
                await self._mail(letter, CodeSpec(rung, digits, stamp.epoch), rescue)

    def _whose(self, letter: CodeMailRequest) -> BudgetKey:
        """Whose ladder: the account's, or before there is one the address's."""
        subject = letter.owner.bytes if letter.owner else bytes.fromhex(letter.waiting.subject)
        return BudgetKey(subject, letter.waiting.purpose, device_ladder(letter.waiting.device))

    async def _rescue(self, waiting: WaitingFlow) -> str:
        """A rescue code for this address and purpose; who floods the address delivers its owner's way in."""
        code = base64.b32encode(secrets.token_bytes(_RESCUE_BYTES)).decode().rstrip("=")
        await self.valkey.execute(save_rescue_code(sha256(code.encode()).hexdigest(), waiting.purpose, waiting.subject))
        return code

    async def _mail(self, letter: CodeMailRequest, mint: CodeSpec, rescue: str) -> None:
        """Valid from just before SMTP has it, so that no reader is too quick; its minutes count from SMTP's 250."""
        code = f"{secrets.randbelow(10**mint.digits):0{mint.digits}d}"
        mac = self.keys.code_macs(letter.flow_id, letter.waiting.purpose, code)[0]
        if not await self.store.set_code(
            letter.flow_id,
            Step.CODE,
            mac,
            serial=letter.serial,
            ttl=self.ttl,
            rung=mint.rung,
            epoch=mint.epoch,
        ):
            raise _NotWanted
        minted = monotonic()
        minutes = max(1, self.ttl // 60)
        mail = self.templates.render(letter.mail, letter.locale, code=code, minutes=minutes, rescue=rescue)
        await self.postman.send(letter.email, mail)
        if monotonic() - minted < _SOON:
            return
        # The mail is out: were it sent anew for want of Valkey, the code in the reader's hand would be dead. Without
        # the renewal it lives from its minting, a few seconds less.
        with suppress(Unavailable):
            await self.store.renew_code(letter.flow_id, mac, self.ttl)
