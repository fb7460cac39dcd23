"""Flows under way, one hash each in Valkey, its fields as `flow_scripts` lists them; every step is one script."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import FlowGone, StepOutOfOrder, TooSoon
from redis_tools import flow_scripts
from redis_tools.pipeline import Argument, Command, Script, Valkey, ignore

CLAIM_MS = 5_000
"""How long a right answer may take to have its effect before the same answer may be given again (design.md, 4)."""

SPENT_TTL = 7_200
"""Seconds that the count of guesses outlives its flow, for the worker to settle what was reserved (design.md, 4)."""

SETTLE_MARGIN = 60
"""Seconds after a flow's end when nobody can act on it any more, an unfinished claim included."""


@dataclass(frozen=True, slots=True)
class FlowKey:
    """What a session key says: which flow, for which purpose, and the SHA-256 of its secret."""

    flow_id: bytes
    purpose: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class WaitingFlow:
    """A living flow that waits for its code, as the mail worker sees it: without the session key's secret."""

    purpose: str
    subject: str
    device: str
    minted: int
    """The serial of the last code minted, -1 before the first."""
    rung: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewFlow:
    """What a new flow begins with."""

    step: str
    subject: str
    device: str
    epoch: int
    data: Mapping[str, Any]

    def waiting(self, purpose: str) -> WaitingFlow:
        """The flow as it waits for its first code."""
        return WaitingFlow(purpose, self.subject, self.device, minted=-1, rung=None, data=self.data)


@dataclass(frozen=True, slots=True)
class Proof:
    """What comes with a guess: its MACs, and what the doorkeeper has to say of it."""

    macs: Sequence[str]
    rescued: str = ""
    """The subject for whom it speaks, when it is a rescue code."""
    held_at: int = 0
    """The level of the thermostat that holds it, 0 when none does."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to act on a step for a few seconds."""

    flow_id: bytes
    id: str
    step: str
    tries_left: int
    data: Mapping[str, Any]
    subject: str
    device: str
    mails: int
    owed: int
    """Wrong guesses before this one that the level which holds it was charged with."""


class CodeWrong(Exception):
    """The guess is counted; it was wrong, or no code was valid."""

    def __init__(self, tries_left: int, data: Mapping[str, Any]) -> None:
        super().__init__(tries_left)
        self.tries_left = tries_left
        self.data = data
        """What the flow is about."""


class CodeOutdated(Exception):
    """The code's epoch is over: the guess was not compared, and a new code is due."""

    def __init__(self, serial: int, epoch: str) -> None:
        super().__init__(serial)
        self.serial = serial
        self.epoch = epoch
        """As it was, for taking it back."""


@dataclass(frozen=True, slots=True)
class Resent:
    """Another code is due."""

    serial: int
    expires_in: int
    resend_at: str
    """When it might have been asked for, in the server's milliseconds; for taking it back."""


def _flow(flow_id: bytes) -> str:
    return f"flow:{{{flow_id.hex()}}}"


def _spent(flow_id: bytes) -> str:
    return f"spent:{{{flow_id.hex()}}}"


class FlowStore:
    """Opens, claims, advances and closes flows. Every method that waits raises `Unavailable` when Valkey is away.

    What can travel together with other calls is returned as a `Command`.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def _run(self, script: Script, flow_id: bytes, *arguments: Argument) -> Any:
        return await self._valkey.execute(Command.of(script, [_flow(flow_id)], arguments, lambda answer: answer))

    def create(self, key: FlowKey, flow: NewFlow, *, ttl: int, resend: int) -> Command[None]:
        """Begin a flow that lives ``ttl`` seconds and may ask for another code after ``resend`` seconds."""
        fields: tuple[Argument, ...] = (
            *("purpose", key.purpose, "secret", key.secret, "step", flow.step, "subject", flow.subject),
            *("device", flow.device, "epoch", flow.epoch, "data", json.dumps(flow.data)),
        )
        keys = [_flow(key.flow_id), _spent(key.flow_id)]
        return Command.of(flow_scripts.OPEN, keys, [ttl, ttl + SPENT_TTL, resend * 1000, *fields], ignore)

    async def claim(self, key: FlowKey, step: str, *, tries: int, epoch: int, proof: Proof) -> Claim:
        """Check key and step, count the try, compare the code, and claim the step; all at once.

        Raises:
            FlowGone: the key is unknown, expired, used, foreign, or somebody else is acting on the step.
            StepOutOfOrder: the flow lives, and waits for another step.
            CodeOutdated: the guess was neither compared nor counted.
            CodeWrong: the guess is counted; it was wrong, or no code was valid.
        """
        claim_id = secrets.token_hex(8)
        keys = [_flow(key.flow_id), _spent(key.flow_id)]
        arguments: list[Argument] = [
            key.purpose,
            key.secret,
            step,
            claim_id,
            CLAIM_MS,
            tries,
            epoch,
            proof.held_at,
            proof.rescued,
            *proof.macs,
        ]
        outcome, *rest = await self._valkey.execute(
            Command.of(flow_scripts.CLAIM, keys, arguments, lambda answer: answer)
        )
        _refuse(outcome, rest)
        left, data, subject, device, mails, owed = rest
        return Claim(
            flow_id=key.flow_id,
            id=claim_id,
            step=step,
            tries_left=int(left),
            data=json.loads(data),
            subject=subject.decode(),
            device=device.decode(),
            mails=int(mails),
            owed=int(owed),
        )

    def release(self, claim: Claim, *, refund: bool, tries: int) -> Command[None]:
        """Let the step be tried again; the try is given back, or stays spent and may be the last."""
        arguments: list[Argument] = [claim.id, claim.step if refund else "", tries]
        return Command.of(flow_scripts.RELEASE, [_flow(claim.flow_id)], arguments, ignore)

    def advance(
        self, claim: Claim, step: str, secret: bytes = b"", data: Mapping[str, Any] | None = None
    ) -> Command[int]:
        """Move on to ``step``, with a new secret and new data if given; answers the seconds that the flow still lives.

        The reading raises `FlowGone` when the claim had run out, or the flow has.
        """

        def read(ttl: Any) -> int:
            if int(ttl) < 0:
                raise FlowGone
            return int(ttl)

        return Command.of(
            flow_scripts.ADVANCE,
            [_flow(claim.flow_id)],
            [claim.id, step, secret, json.dumps(data) if data else ""],
            read,
        )

    def delete(self, claim: Claim) -> Command[None]:
        """End the flow."""
        return Command.of(flow_scripts.FINISH, [_flow(claim.flow_id)], [claim.id], ignore)

    async def resend(self, key: FlowKey, step: str, *, resends: int, resend: int) -> Resent:
        """Note that another code is wanted; guesses already spent stay spent.

        Raises:
            FlowGone: see `claim`.
            StepOutOfOrder: the flow waits for no code.
            TooSoon: before its time, or once too often.
        """
        arguments: list[Argument] = [key.purpose, key.secret, step, resends, resend * 1000]
        outcome, *rest = await self._run(flow_scripts.RESEND, key.flow_id, *arguments)
        _refuse(outcome, rest)
        return Resent(int(rest[0]), int(rest[1]), rest[2].decode())

    async def undo_resend(self, flow_id: bytes, resent: Resent) -> None:
        """Take back a wish for another code that could not be written down."""
        await self._run(flow_scripts.UNSEND, flow_id, resent.serial, resent.resend_at)

    async def undo_replacement(self, flow_id: bytes, outdated: CodeOutdated) -> None:
        """Take back that another code is due, which could not be written down."""
        await self._run(flow_scripts.UNREPLACE, flow_id, outdated.serial, outdated.epoch)

    async def find_waiting(self, flow_id: bytes, step: str) -> WaitingFlow | None:
        """The flow, if it lives and waits for a code."""
        fields = ("step", "purpose", "subject", "device", "minted", "rung", "data")
        found = await self._valkey.execute(Command(("HMGET", _flow(flow_id), *fields), list))
        its_step, purpose, subject, device, minted, rung, data = found
        if its_step != step.encode():
            return None
        return WaitingFlow(
            purpose=purpose.decode(),
            subject=subject.decode(),
            device=device.decode(),
            minted=int(minted) if minted else -1,
            rung=int(rung) if rung else None,
            data=json.loads(data),
        )

    async def set_code(  # noqa: PLR0913 - what a code is
        self, flow_id: bytes, step: str, mac: str, *, serial: int, ttl: int, rung: int, epoch: int
    ) -> bool:
        """Make a code valid, and any older one dead; False when the flow is gone, or a newer code mailed or due."""
        return bool(await self._run(flow_scripts.MINT, flow_id, serial, step, mac, ttl * 1000, rung, epoch))

    async def renew_code(self, flow_id: bytes, mac: str, ttl: int) -> None:
        """Let the code's life start anew, its mail having just been taken by SMTP."""
        await self._run(flow_scripts.RENEW, flow_id, mac, ttl * 1000)

    async def count_wrong_guesses(self, flow_ids: Sequence[bytes]) -> list[int | None]:
        """Wrong guesses at the code of each flow; None where Valkey has forgotten."""
        return await self._valkey.pipeline(
            *(
                Command(("GET", _spent(flow_id)), lambda count: None if count is None else int(count))
                for flow_id in flow_ids
            )
        )


def _refuse(outcome: bytes, rest: Sequence[bytes]) -> None:
    match outcome:
        case b"gone":
            raise FlowGone
        case b"out_of_order":
            raise StepOutOfOrder
        case b"wrong_code":
            raise CodeWrong(int(rest[0]), json.loads(rest[1]))
        case b"replaced":
            raise CodeOutdated(int(rest[0]), rest[1].decode())
        case b"too_soon":
            raise TooSoon(headers={"Retry-After": rest[0].decode()})
