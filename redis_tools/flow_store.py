"""Flows under way, one hash each in Valkey, its fields as `flow_scripts` lists them; every step is one script."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from models.errors import FlowGone, StepOutOfOrder, TooSoon, WrongCode
from redis_tools.connection import unavailable_when_away
from redis_tools.flow_scripts import SCRIPTS

CLAIM_MS = 5_000
"""How long a right answer may take to have its effect before the same answer may be given again (design.md, 4)."""

CLOSED_TTL = 7_200
"""Seconds that a closed record stays, for the worker to settle what was reserved (design.md, 4)."""


@dataclass(frozen=True, slots=True)
class FlowKey:
    """What a session key says: which flow, for which purpose, and the SHA-256 of its secret."""

    flow_id: bytes
    purpose: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to act on a step for a few seconds."""

    flow_id: bytes
    id: str
    step: str
    data: Mapping[str, Any]
    tries_left: int


@dataclass(frozen=True, slots=True)
class Resent:
    """Another code is due."""

    serial: int
    expires_in: int
    resend_at: str
    """When it might have been asked for, in the server's milliseconds; for taking it back."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A living flow that waits for its code, as the mail worker sees it: without the session key's secret."""

    purpose: str
    minted: int
    """The serial of the last code minted, -1 before the first."""
    data: Mapping[str, Any]


def _key(flow_id: bytes) -> str:
    return f"flow:{flow_id.hex()}"


class FlowStore:
    """Opens, claims, advances and closes flows. Every method raises `Unavailable` when Valkey is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = {name: redis.register_script(source) for name, source in SCRIPTS.items()}

    async def _run(self, name: str, flow_id: bytes, *arguments: str | int | bytes) -> Any:
        script: AsyncScript = self._scripts[name]
        with unavailable_when_away():
            return await script(keys=[_key(flow_id)], args=list(arguments))

    async def open(self, key: FlowKey, step: str, data: Mapping[str, Any], *, ttl: int, resend: int) -> None:
        """Begin a flow that lives ``ttl`` seconds and may ask for another code after ``resend`` seconds."""
        await self._run("open", key.flow_id, key.purpose, key.secret, step, json.dumps(data), ttl, resend * 1000)

    async def claim(self, key: FlowKey, step: str, *, tries: int, macs: Sequence[str]) -> Claim:
        """Check key and step, count the try, compare the code, and claim the step; all at once.

        Raises:
            FlowGone: the key is unknown, expired, used, foreign, or somebody else is acting on the step.
            StepOutOfOrder: the flow lives, and waits for another step.
            WrongCode: the guess is counted; it was wrong, or no code was valid.
        """
        claim_id = secrets.token_hex(8)
        outcome, *rest = await self._run(
            "claim", key.flow_id, key.purpose, key.secret, step, claim_id, CLAIM_MS, tries, CLOSED_TTL, *macs
        )
        _refuse(outcome, rest)
        return Claim(key.flow_id, claim_id, step, json.loads(rest[0]), int(rest[1]))

    async def release(self, claim: Claim, *, give_back: bool, tries: int) -> None:
        """Let the step be tried again; the try is given back, or stays spent and may be the last."""
        await self._run("release", claim.flow_id, claim.id, claim.step if give_back else "", tries, CLOSED_TTL)

    async def advance(self, claim: Claim, step: str, secret: bytes = b"") -> int:
        """Move on to ``step``, with a new secret if one is given; return the seconds that the flow still lives.

        Raises:
            FlowGone: the claim had run out, or the flow has.
        """
        ttl = int(await self._run("advance", claim.flow_id, claim.id, step, secret))
        if ttl < 0:
            raise FlowGone
        return ttl

    async def close(self, claim: Claim) -> None:
        """End the flow."""
        await self._run("finish", claim.flow_id, claim.id, CLOSED_TTL)

    async def resend(self, key: FlowKey, step: str, *, resends: int, resend: int) -> Resent:
        """Note that another code is wanted; guesses already spent stay spent.

        Raises:
            FlowGone: see `claim`.
            StepOutOfOrder: the flow waits for no code.
            TooSoon: before its time, or once too often.
        """
        outcome, *rest = await self._run("resend", key.flow_id, key.purpose, key.secret, step, resends, resend * 1000)
        _refuse(outcome, rest)
        return Resent(int(rest[0]), int(rest[1]), rest[2].decode())

    async def unsend(self, flow_id: bytes, resent: Resent) -> None:
        """Take back a wish for another code that could not be written down."""
        await self._run("unsend", flow_id, resent.serial, resent.resend_at)

    async def waiting(self, flow_id: bytes, step: str) -> Waiting | None:
        """The flow, if it lives and waits for a code."""
        with unavailable_when_away():
            record = cast("dict[bytes, bytes]", await self._redis.hgetall(_key(flow_id)))
        if record.get(b"state") != b"open" or record[b"step"] != step.encode():
            return None
        return Waiting(record[b"purpose"].decode(), int(record.get(b"minted", -1)), json.loads(record[b"data"]))

    async def mint(self, flow_id: bytes, step: str, mac: str, *, serial: int, ttl: int) -> bool:
        """Make a code valid, and any older one dead; False when the flow is gone or a newer code has been mailed."""
        return bool(await self._run("mint", flow_id, serial, step, mac, ttl * 1000))

    async def renew(self, flow_id: bytes, mac: str, ttl: int) -> None:
        """Let the code's life start anew, its mail having just been taken by SMTP."""
        await self._run("renew", flow_id, mac, ttl * 1000)


def _refuse(outcome: bytes, rest: Sequence[bytes]) -> None:
    match outcome:
        case b"gone":
            raise FlowGone
        case b"out_of_order":
            raise StepOutOfOrder
        case b"wrong_code":
            raise WrongCode(attempts_left=int(rest[0]))
        case b"too_soon":
            raise TooSoon(headers={"Retry-After": rest[0].decode()})
