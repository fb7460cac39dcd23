"""Limits: what every start and every step costs its caller, asked for in one exchange before anything else is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend.audit import AuditBuffer
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo
from models.errors import TooManyRequests, Unavailable
from models.settings.groups import LimitSettings
from models.values.flow import DELETE, EMAIL, LOGIN, RECOVER, REGISTER
from models.values.rate import Rate
from redis_tools.pipeline import Call, Valkey
from redis_tools.rescue_store import find_rescue
from redis_tools.thermostat import Hold, Thermostat
from redis_tools.token_bucket import Bucket, Taken

log = logging.getLogger(__name__)

Rates = Sequence[Rate]

_ROOM_TRIES = 20
_ROOM_PAUSE = 0.05
"""Seconds, so that a guess waits a second for room before it is answered 503."""


@dataclass(frozen=True, slots=True)
class Permit:
    """What a start has paid, and what it gets back when it goes well."""

    device: str
    epoch: int
    refunds: tuple[Call[None], ...]


@dataclass(frozen=True, slots=True)
class CodeAttempt:
    """A guess before it is compared, and how to say afterwards what it was."""

    rescued: str = ""
    """Whose flows it opens, when it is a rescue code."""
    thermostat: Thermostat | None = None
    hold: Hold | None = None

    @property
    def epoch(self) -> int:
        """Codes minted before it are not compared with this guess."""
        return self.hold.epoch if self.hold else 0

    def void(self) -> tuple[Call[Any], ...]:
        """It was not compared, or was right and came to nothing: it never was."""
        return (self.thermostat.void(self.hold),) if self.thermostat and self.hold else ()

    def won(self, wrong_before: int) -> tuple[Call[Any], ...]:
        """It was right, and explains the wrong guesses that the flow had before."""
        return (self.thermostat.won(self.hold, wrong_before),) if self.thermostat and self.hold else ()


def _by_address(act: str, rates: Rates, caller: ClientInfo) -> list[Bucket]:
    return [
        Bucket(f"{act}:{{{network.name}}}", rate.times(network.share)) for rate in rates for network in caller.networks
    ]


class Limits:
    """The doorkeeper of every start and step. Valkey away: nobody comes in (`Unavailable`)."""

    def __init__(
        self, valkey: Valkey, rates: LimitSettings, thermostats: Mapping[str, Thermostat], audit_buffer: AuditBuffer
    ) -> None:
        self._valkey = valkey
        self._audit_buffer = audit_buffer
        self._rates = rates
        self._starts = {
            REGISTER.name: rates.registrations,
            LOGIN.name: rates.logins,
            RECOVER.name: rates.recoveries,
            # An account rarely needs either, and both send mail, as recoveries do.
            EMAIL.name: rates.recoveries,
            DELETE.name: rates.recoveries,
        }
        self._thermostats = thermostats

    async def start(self, purpose: str, caller: ClientInfo, device: str = "") -> Permit:
        """Let a flow begin.

        Raises:
            TooManyRequests: too many of them from this address.
            Unavailable: Valkey is away.
        """
        return await self._admit(purpose, caller, device, ())

    async def password(self, purpose: str, caller: ClientInfo, subject: str, device: str = "") -> Permit:
        """Let a password be tried for whoever ``subject`` is; debited now, given back when it was right.

        The right password is refused like a wrong one: a limit that let it pass would tell which it was.

        Raises:
            TooManyRequests: too many tries from this address, or too many wrong ones for this account.
            Unavailable: Valkey is away.
        """
        rates = self._rates.device_passwords if device else self._rates.passwords
        whose = f"{{{subject}}}:{device}" if device else f"{{{subject}}}"
        failures = _by_address("wrong-password", self._rates.wrong_passwords, caller)
        failures += [Bucket(f"password:{whose}", rate) for rate in rates]
        return await self._admit(purpose, caller, device, failures)

    async def own_password(self, caller: ClientInfo, user_id: UUID) -> Permit:
        """Let somebody who is signed in give his password once more; what was debited comes back when it was right.

        The account has a bucket of its own for it: whoever guesses at /login cannot keep the owner from a change.

        Raises:
            TooManyRequests: too many steps or wrong passwords from this address, or wrong ones for this account.
            Unavailable: Valkey is away.
        """
        failures = _by_address("wrong-password", self._rates.wrong_passwords, caller)
        failures += [Bucket(f"own-password:{{{user_id}}}", rate) for rate in self._rates.device_passwords]
        _, refusal = await self._ask((*_by_address("step", self._rates.steps, caller), *failures))
        if refusal:
            raise self._noted(refusal, "own-password", caller)
        return Permit("", 0, tuple(bucket.give_back() for bucket in failures))

    async def take_back(self, admission: Permit) -> None:
        """The password was right, or was never compared for want of a server or of room: nothing is charged."""
        # Valkey may be what is away; then the bucket fills by itself.
        with suppress(Unavailable):
            await self._valkey.ask_all(*admission.refunds)

    async def _admit(self, purpose: str, caller: ClientInfo, device: str, lent: Sequence[Bucket]) -> Permit:
        """Take one from every bucket; what is ``lent`` comes back when the start goes well."""
        thermostat = self._thermostats.get(purpose)
        spent = _by_address(purpose, self._starts[purpose], caller)
        epochs, refusal = await self._ask((*spent, *lent), [thermostat.epoch()] if thermostat else [])
        if refusal:
            raise self._noted(refusal, purpose, caller)
        return Permit(device, epochs[0] if epochs else 0, tuple(bucket.give_back() for bucket in lent))

    async def step(self, caller: ClientInfo) -> None:
        """Let a step be tried that takes no code.

        Raises:
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey is away.
        """
        await self._spend("step", self._rates.steps, caller)

    async def export(self, caller: ClientInfo, user_id: UUID) -> None:
        """Let an owner take along what is known of the account, which may be much.

        Raises:
            TooManyRequests: too many steps from this address, or too many exports of this account.
            Unavailable: Valkey is away.
        """
        of_account = [Bucket(f"export:{{{user_id}}}", rate) for rate in self._rates.exports]
        _, refusal = await self._ask((*_by_address("step", self._rates.steps, caller), *of_account))
        if refusal:
            raise self._noted(refusal, "export", caller)

    async def refresh(self, caller: ClientInfo) -> None:
        """Let a refresh token be tried.

        Raises:
            TooManyRequests: too many refreshes from this address.
            Unavailable: Valkey is away.
        """
        await self._spend("refresh", self._rates.refreshes, caller)

    async def _spend(self, act: str, rates: Rates, caller: ClientInfo) -> None:
        _, refusal = await self._ask(_by_address(act, rates, caller))
        if refusal:
            raise self._noted(refusal, act, caller)

    def _noted(self, refusal: TooManyRequests, act: str, caller: ClientInfo) -> TooManyRequests:
        self._audit_buffer.record(Event.LIMIT_REACHED, anonymous_actor(caller), limit=act)
        return refusal

    async def guess(self, purpose: str, caller: ClientInfo, *, from_device: bool, rescue: str = "") -> CodeAttempt:
        """Let a code be tried: the thermostat holds the guess before it is compared, so that no burst slips by.

        A known device neither counts nor raises; a rescue code, given by its digest, is too long to be guessed.

        Raises:
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey is away, or more guesses are under way than the thermostat bears.
        """
        thermostat = None if from_device or rescue else self._thermostats.get(purpose)
        calls: list[Call[Any]] = [thermostat.hold()] if thermostat else []
        calls += [find_rescue(rescue, purpose)] if rescue else []
        answers, refusal = await self._ask(_by_address("step", self._rates.steps, caller), calls)
        if refusal:
            if thermostat and answers[0]:
                await self._valkey.ask(thermostat.void(answers[0]))
            raise self._noted(refusal, "step", caller)
        if rescue:
            return CodeAttempt(rescued=answers[0])
        if thermostat is None:
            return CodeAttempt()
        return CodeAttempt("", thermostat, answers[0] or await self._wait_for_room(thermostat))

    async def _wait_for_room(self, thermostat: Thermostat) -> Hold:
        """Guesses take milliseconds; whether those under way leave room, or raise the floor, is soon known."""
        for _ in range(_ROOM_TRIES):
            await asyncio.sleep(_ROOM_PAUSE)
            hold = await self._valkey.ask(thermostat.hold())
            if hold:
                return hold
        raise Unavailable("Too many codes are being checked.", retry_after=1)

    async def wrong(self, guess: CodeAttempt, caller: ClientInfo) -> None:
        """The guess was compared and wrong; the last one that a floor bears raises it."""
        if guess.thermostat is None or guess.hold is None:
            return
        # Unresolved it counts as wrong in a few seconds, too.
        with suppress(Unavailable):
            raised_to = await self._valkey.ask(guess.thermostat.wrong(guess.hold))
            if raised_to:
                purpose = guess.thermostat.purpose
                self._audit_buffer.record(
                    Event.FLOOR_RAISED, anonymous_actor(caller), purpose=purpose, digits=raised_to
                )
                log.warning(
                    "too many wrong codes at /%s: unknown devices are mailed at least %d digits now",
                    purpose,
                    raised_to,
                )

    async def _ask(
        self, buckets: Sequence[Bucket], others: Sequence[Call[Any]] = ()
    ) -> tuple[list[Any], TooManyRequests | None]:
        """Ask for everything at once; the answers to ``others``, and the refusal if a bucket is empty."""
        answers = await self._valkey.ask_all(*(bucket.take() for bucket in buckets), *others)
        taken: list[Taken] = answers[: len(buckets)]
        rest = answers[len(buckets) :]
        if all(one.allowed for one in taken):
            return rest, None
        # Whoever is refused has done nothing: it costs neither the account, nor his neighbours, nor his own day.
        back = [bucket.give_back() for bucket, one in zip(buckets, taken, strict=True) if one.allowed]
        if back:
            await self._valkey.ask_all(*back)
        return rest, TooManyRequests(retry_after=max(one.retry_after for one in taken))
