"""Rate limits per client address and account: each start and each step is charged before anything else is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend.audit import AuditBuffer
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo
from models.errors import TooManyRequests, Unavailable
from models.settings.notations import Rates
from models.settings.rules import LimitSettings
from models.values.flow import SPECS
from redis_tools.command import Command
from redis_tools.pipeline import Valkey
from redis_tools.thermostat import Thermostat
from redis_tools.token_bucket import Bucket, LimitResult


@dataclass(frozen=True, slots=True)
class Permit:
    """Allows one start: the device and the epoch that it was given for, and what comes back when the start succeeds."""

    device: str
    epoch: int
    refunds: tuple[Command[None], ...]


def _by_address(limit: str, rates: Rates, client: ClientInfo) -> list[Bucket]:
    return [
        Bucket(f"{limit}:{{{network.name}}}", rate.times(network.share))
        for rate in rates
        for network in client.networks
    ]


class RateLimits:
    """Charges clients and accounts for starts and steps. While Valkey is away, all are refused (`Unavailable`)."""

    def __init__(
        self, valkey: Valkey, rates: LimitSettings, thermostats: Mapping[str, Thermostat], audit_buffer: AuditBuffer
    ) -> None:
        self._valkey = valkey
        self._audit_buffer = audit_buffer
        self._rates = rates
        self._starts: dict[str, Rates] = {spec.name: getattr(rates, spec.start_limit) for spec in SPECS.values()}
        self._thermostats = thermostats

    async def charge_start(
        self, purpose: str, client: ClientInfo, device: str = "", refundable: Sequence[Bucket] = ()
    ) -> Permit:
        """Charge the start of a flow, and the ``refundable`` buckets until the permit is refunded.

        Raises:
            TooManyRequests: too many starts from this address, or an empty bucket.
        """
        thermostat = self._thermostats.get(purpose)
        consumed = _by_address(purpose, self._starts[purpose], client)
        commands = [thermostat.get_epoch()] if thermostat else []
        epochs = await self._charge(purpose, client, (*consumed, *refundable), commands)
        return Permit(device, epochs[0] if epochs else 0, tuple(bucket.refund() for bucket in refundable))

    async def charge_password(self, purpose: str, client: ClientInfo, subject: str, device: str = "") -> Permit:
        """Charge the start of a flow and one wrong password of the account ``subject``; a right one is refunded.

        The right password is refused like a wrong one: a limit that let it pass would reveal which one it is.

        Raises:
            TooManyRequests: too many tries from this address, or too many wrong ones for this account.
        """
        rates = self._rates.device_passwords if device else self._rates.passwords
        account = f"{{{subject}}}:{device}" if device else f"{{{subject}}}"
        failures = _by_address("wrong-password", self._rates.wrong_passwords, client)
        failures += [Bucket(f"password:{account}", rate) for rate in rates]
        return await self.charge_start(purpose, client, device, failures)

    async def charge_own_password(self, client: ClientInfo, user_id: UUID) -> Permit:
        """Charge a step and one wrong password of a user who is signed in; a right one is refunded.

        The account has its own bucket for this: an attacker who guesses at /login cannot keep the owner from a change.

        Raises:
            TooManyRequests: too many steps or wrong passwords from this address, or wrong ones for this account.
        """
        failures = _by_address("wrong-password", self._rates.wrong_passwords, client)
        failures += [Bucket(f"own-password:{{{user_id}}}", rate) for rate in self._rates.device_passwords]
        await self._charge("own-password", client, (*_by_address("step", self._rates.steps, client), *failures))
        return Permit("", 0, tuple(bucket.refund() for bucket in failures))

    async def refund(self, permit: Permit) -> None:
        """Give back what was charged: the password was right, or a missing server kept it from being compared."""
        # Valkey may be what is away; then the bucket fills by itself.
        with suppress(Unavailable):
            await self._valkey.pipeline(*permit.refunds)

    async def charge_step(self, client: ClientInfo) -> None:
        """Charge a step that takes no code.

        Raises:
            TooManyRequests: too many steps from this address.
        """
        await self._charge("step", client, _by_address("step", self._rates.steps, client))

    async def try_step(
        self, client: ClientInfo, commands: Sequence[Command[Any]]
    ) -> tuple[list[Any], TooManyRequests | None]:
        """Charge a step and send other commands in one exchange; return their answers, and the refusal, if any."""
        return await self._try("step", client, _by_address("step", self._rates.steps, client), commands)

    async def charge_export(self, client: ClientInfo, user_id: UUID) -> None:
        """Charge an export of the account, which may be large.

        Raises:
            TooManyRequests: too many steps from this address, or too many exports of this account.
        """
        exports = [Bucket(f"export:{{{user_id}}}", rate) for rate in self._rates.exports]
        await self._charge("export", client, (*_by_address("step", self._rates.steps, client), *exports))

    async def charge_refresh(self, client: ClientInfo) -> None:
        """Charge the use of a refresh token.

        Raises:
            TooManyRequests: too many refreshes from this address.
        """
        await self._charge("refresh", client, _by_address("refresh", self._rates.refreshes, client))

    async def _charge(
        self, limit: str, client: ClientInfo, buckets: Sequence[Bucket], commands: Sequence[Command[Any]] = ()
    ) -> list[Any]:
        answers, refusal = await self._try(limit, client, buckets, commands)
        if refusal:
            raise refusal
        return answers

    async def _try(
        self, limit: str, client: ClientInfo, buckets: Sequence[Bucket], commands: Sequence[Command[Any]]
    ) -> tuple[list[Any], TooManyRequests | None]:
        """Charge every bucket and send the commands in one exchange; a refusal is recorded in the audit log."""
        answers = await self._valkey.pipeline(*(bucket.consume() for bucket in buckets), *commands)
        taken: list[LimitResult] = answers[: len(buckets)]
        rest = answers[len(buckets) :]
        if all(one.allowed for one in taken):
            return rest, None
        # A refused request has done nothing: it costs neither the account, nor the neighbours, nor the client's day.
        back = [bucket.refund() for bucket, one in zip(buckets, taken, strict=True) if one.allowed]
        if back:
            await self._valkey.pipeline(*back)
        self._audit_buffer.record(Event.LIMIT_REACHED, anonymous_actor(client), limit=limit)
        return rest, TooManyRequests(retry_after=max(one.retry_after for one in taken))
