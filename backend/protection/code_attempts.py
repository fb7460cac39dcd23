"""The life of a guess: the thermostat reserves it before the code is compared, and learns afterwards what it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backend.audit import AuditBuffer
from backend.protection.rate_limits import RateLimits
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo
from models.errors import Unavailable
from redis_tools.command import Command
from redis_tools.pipeline import Valkey
from redis_tools.rescue_codes import find_rescue_code
from redis_tools.thermostat import Reservation, Thermostat

log = logging.getLogger(__name__)

_RESERVE_TRIES = 20
_RESERVE_PAUSE = 0.05
"""Seconds, so that an attempt waits one second for a reservation before it is answered 503."""


@dataclass(frozen=True, slots=True)
class CodeAttempt:
    """A guess that is not compared yet; one of `cancel`, `succeeded` and `CodeAttempts.record_failure` settles it."""

    rescued: str = ""
    """The subject whose flows a rescue code opens; empty for a mailed code."""
    reservation: Reservation | None = None
    """None for a guess that the thermostat does not count."""

    @property
    def epoch(self) -> int:
        """Codes minted before this epoch are not compared with the guess."""
        return self.reservation.epoch if self.reservation else 0

    def cancel(self) -> tuple[Command[Any], ...]:
        """Return the commands for a guess that was not compared, or was right without effect: it counts as not made."""
        return (self.reservation.cancel(),) if self.reservation else ()

    def succeeded(self, wrong_before: int) -> tuple[Command[Any], ...]:
        """Return the commands for a right guess, which explains the wrong guesses that the flow had before."""
        return (self.reservation.succeeded(wrong_before),) if self.reservation else ()


@dataclass(frozen=True, slots=True)
class CodeAttempts:
    """Counts guesses before they are compared."""

    valkey: Valkey
    limits: RateLimits
    thermostats: Mapping[str, Thermostat]
    audit_buffer: AuditBuffer

    async def reserve(self, purpose: str, client: ClientInfo, *, from_device: bool, rescue: str = "") -> CodeAttempt:
        """Charge a step and reserve a guess in one exchange, so that no burst of guesses slips past the thermostat.

        A known device neither counts nor raises the floor; a rescue code, given by its digest, is too long to be
        guessed.

        Raises:
            TooManyRequests: too many steps from this address.
            Unavailable: Valkey is away, or more guesses are under way than the thermostat bears.
        """
        thermostat = None if from_device or rescue else self.thermostats.get(purpose)
        commands: list[Command[Any]] = [thermostat.reserve()] if thermostat else []
        commands += [find_rescue_code(rescue, purpose)] if rescue else []
        answers, refusal = await self.limits.try_step(client, commands)
        if refusal:
            if thermostat and answers[0]:
                await self.valkey.execute(answers[0].cancel())
            raise refusal
        if rescue:
            return CodeAttempt(rescued=answers[0])
        if thermostat is None:
            return CodeAttempt()
        return CodeAttempt("", answers[0] or await self._wait_for_reservation(thermostat))

    async def _wait_for_reservation(self, thermostat: Thermostat) -> Reservation:
        """Guesses take milliseconds: those under way soon leave room, or raise the floor."""
        for _ in range(_RESERVE_TRIES):
            await asyncio.sleep(_RESERVE_PAUSE)
            reservation = await self.valkey.execute(thermostat.reserve())
            if reservation:
                return reservation
        raise Unavailable("Too many codes are being checked.", retry_after=1)

    async def record_failure(self, attempt: CodeAttempt, client: ClientInfo) -> None:
        """Record that the guess was compared and wrong; the last guess that a floor bears raises the floor."""
        if attempt.reservation is None:
            return
        # An unsettled guess counts as wrong in a few seconds, too.
        with suppress(Unavailable):
            raised_to = await self.valkey.execute(attempt.reservation.failed())
            if raised_to:
                purpose = attempt.reservation.thermostat.purpose
                self.audit_buffer.record(Event.FLOOR_RAISED, anonymous_actor(client), purpose=purpose, digits=raised_to)
                log.warning(
                    "too many wrong codes at /%s: unknown devices are mailed at least %d digits now", purpose, raised_to
                )
