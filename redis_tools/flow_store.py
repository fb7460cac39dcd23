"""Open flows: each is a hash in Valkey with the fields of ``scripts/flow_create.lua``; each step is a script."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from models.errors import FlowGone, StepOutOfOrder, TooSoon
from models.values.flow import SPECS, Data_co, FlowSpec, Step, WaitingFlow
from models.values.flow_data import FlowData
from redis_tools.command import Argument, Command, Script, ignore, load_script
from redis_tools.pipeline import Valkey

_CREATE = load_script("flow_create")
_CLAIM = load_script("flow_compare_and_claim")
_RELEASE = load_script("flow_release")
_ADVANCE = load_script("flow_advance")
_DELETE = load_script("flow_delete")
_RESEND = load_script("flow_resend")
_UNDO_RESEND = load_script("flow_undo_resend")
_UNDO_REPLACEMENT = load_script("flow_undo_replacement")
_SET_CODE = load_script("flow_set_code")
_RENEW_CODE = load_script("flow_renew_code")

CLAIM_MS = 5_000
"""How long a claimed step may take to commit, before the same code may be sent again (service.md, 4)."""

SPENT_TTL = 7_200
"""Seconds that the count of attempts outlives its flow: the worker settles by it what was reserved (service.md, 4)."""

SETTLE_MARGIN = 60
"""Seconds after a flow's end at which the last claim of it is over, too."""


@dataclass(frozen=True, slots=True)
class FlowKey(Generic[Data_co]):
    """What a session key says: which flow, of which kind, and the SHA-256 of its secret."""

    flow_id: bytes
    spec: FlowSpec[Data_co]
    secret: bytes


@dataclass(frozen=True, slots=True)
class NewFlow:
    """What a flow begins with; see `WaitingFlow` for ``subject`` and ``device``."""

    data: FlowData
    subject: str
    device: str
    epoch: int
    """Of the thermostat, when the flow began."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What comes with a code to be compared: its MACs, and what was reserved for the attempt."""

    macs: Sequence[str] = ()
    rescued: str = ""
    """The subject whose flows it opens, if it is a rescue code."""
    held_at: int = 0
    """The level of the thermostat that has reserved the attempt, 0 when none has."""


@dataclass(frozen=True, slots=True)
class Claim(Generic[Data_co]):
    """The right to act on a step for a few seconds."""

    flow_id: bytes
    id: str
    step: Step
    tries_left: int
    data: Data_co
    subject: str
    device: str
    mails: int
    """Mails that the flow has been sent."""
    owed: int
    """Wrong codes before this one that were charged to the level which has reserved this one."""


class CodeWrong(Exception):
    """The attempt is counted; the code was wrong, or no code was valid."""

    def __init__(self, tries_left: int, data: FlowData) -> None:
        super().__init__(tries_left)
        self.tries_left = tries_left
        self.data = data


class CodeOutdated(Exception):
    """The code's epoch is over: the attempt was not compared, and a new code is due."""

    def __init__(self, serial: int, epoch: str) -> None:
        super().__init__(serial)
        self.serial = serial
        self.epoch = epoch
        """The epoch before, for `FlowStore.undo_replacement`."""


@dataclass(frozen=True, slots=True)
class Resent:
    """Another code is due."""

    serial: int
    expires_in: int
    resend_at: str
    """The earliest moment for this one, in the server's milliseconds; for `FlowStore.undo_resend`."""


def _flow(flow_id: bytes) -> str:
    return f"flow:{{{flow_id.hex()}}}"


def _spent(flow_id: bytes) -> str:
    return f"spent:{{{flow_id.hex()}}}"


@dataclass(frozen=True, slots=True)
class MintedCode:
    """A code that is about to be mailed."""

    mac: str
    serial: int
    rung: int
    """Digits of the rung that pays for it."""
    epoch: int
    """Of the thermostat, when its length was chosen."""


class FlowStore:
    """Creates, claims, advances and closes flows. Every asynchronous method raises `Unavailable` when Valkey is away.

    The other methods return a command, so that the caller sends it together with others.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def _run(self, script: Script, flow_id: bytes, *arguments: Argument) -> Any:
        return await self._valkey.execute(script.command([_flow(flow_id)], arguments, lambda answer: answer))

    def create(self, key: FlowKey[FlowData], flow: NewFlow, *, ttl: int, resend_after: int) -> Command[None]:
        """Begin a flow that lives ``ttl`` seconds and may ask for another code after ``resend_after`` seconds."""
        fields: tuple[Argument, ...] = (
            *("purpose", key.spec.name, "secret", key.secret, "step", key.spec.steps[0], "subject", flow.subject),
            *("device", flow.device, "epoch", flow.epoch, "data", flow.data.to_json()),
        )
        keys = [_flow(key.flow_id), _spent(key.flow_id)]
        return _CREATE.command(keys, [ttl, ttl + SPENT_TTL, resend_after * 1000, *fields], ignore)

    async def claim(
        self, key: FlowKey[Data_co], step: Step, *, tries: int, epoch: int = 0, proof: Proof | None = None
    ) -> Claim[Data_co]:
        """Check key and step, count the try, compare the code, and claim the step; all at once.

        Raises:
            FlowGone: the key is unknown, expired, used or another user's, or the step is claimed at this moment.
            StepOutOfOrder: the flow lives, and waits for another step.
            CodeOutdated: the attempt was neither compared nor counted.
            CodeWrong: the attempt is counted; the code was wrong, or no code was valid.
        """
        claim_id, proof = secrets.token_hex(8), proof or Proof()
        keys = [_flow(key.flow_id), _spent(key.flow_id)]
        arguments: list[Argument] = [
            key.spec.name,
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
        outcome, *rest = await self._valkey.execute(_CLAIM.command(keys, arguments, lambda answer: answer))
        if outcome == b"wrong_code":
            raise CodeWrong(int(rest[0]), key.spec.data.from_json(rest[1]))
        _refuse(outcome, rest)
        left, data, subject, device, mails, owed = rest
        return Claim(
            flow_id=key.flow_id,
            id=claim_id,
            step=step,
            tries_left=int(left),
            data=key.spec.data.from_json(data),
            subject=subject.decode(),
            device=device.decode(),
            mails=int(mails),
            owed=int(owed),
        )

    def release(self, claim: Claim[FlowData], *, refund: bool, tries: int) -> Command[None]:
        """Let the step be tried again; the try is refunded, or stays spent, and the flow ends if it was the last."""
        arguments: list[Argument] = [claim.id, claim.step if refund else "", tries]
        return _RELEASE.command([_flow(claim.flow_id)], arguments, ignore)

    def advance(
        self, claim: Claim[FlowData], step: Step, secret: bytes = b"", data: FlowData | None = None
    ) -> Command[int]:
        """Move on to ``step``, with a new secret and new data if given; read the seconds that the flow still lives.

        Reading the answer raises `FlowGone` if the claim or the flow has expired.
        """

        def read(ttl: Any) -> int:
            if int(ttl) < 0:
                raise FlowGone
            return int(ttl)

        return _ADVANCE.command([_flow(claim.flow_id)], [claim.id, step, secret, data.to_json() if data else ""], read)

    def delete(self, claim: Claim[FlowData]) -> Command[None]:
        """End the flow."""
        return _DELETE.command([_flow(claim.flow_id)], [claim.id], ignore)

    async def resend(self, key: FlowKey[FlowData], *, resends: int, resend_after: int) -> Resent:
        """Note that another code is wanted; attempts already spent stay spent.

        Raises:
            FlowGone: see `claim`.
            StepOutOfOrder: the flow waits for no code.
            TooSoon: ``resend_after`` is not over, or all ``resends`` are used up.
        """
        arguments: list[Argument] = [key.spec.name, key.secret, Step.CODE, resends, resend_after * 1000]
        outcome, *rest = await self._run(_RESEND, key.flow_id, *arguments)
        _refuse(outcome, rest)
        return Resent(int(rest[0]), int(rest[1]), rest[2].decode())

    async def undo_resend(self, flow_id: bytes, resent: Resent) -> None:
        """Undo `resend`: the job for the code could not be written."""
        await self._run(_UNDO_RESEND, flow_id, resent.serial, resent.resend_at)

    async def undo_replacement(self, flow_id: bytes, outdated: CodeOutdated) -> None:
        """Undo that another code is due: the job for it could not be written."""
        await self._run(_UNDO_REPLACEMENT, flow_id, outdated.serial, outdated.epoch)

    async def find_waiting(self, flow_id: bytes) -> WaitingFlow | None:
        """Return the flow if it lives and waits for a code."""
        fields = ("step", "purpose", "subject", "device", "minted", "rung", "data")
        found = await self._valkey.execute(Command(("HMGET", _flow(flow_id), *fields), list))
        step, purpose, subject, device, minted, rung, data = found
        if step != Step.CODE.encode():
            return None
        spec = SPECS[purpose.decode()]
        return WaitingFlow(
            spec=spec,
            data=spec.data.from_json(data),
            subject=subject.decode(),
            device=device.decode(),
            minted=int(minted) if minted else -1,
            rung=int(rung) if rung else None,
        )

    async def set_code(self, flow_id: bytes, code: MintedCode, ttl: int) -> bool:
        """Make a code valid, and older ones invalid; return False if the flow has ended or has a newer code."""
        arguments: list[Argument] = [code.serial, Step.CODE, code.mac, ttl * 1000, code.rung, code.epoch]
        return bool(await self._run(_SET_CODE, flow_id, *arguments))

    async def renew_code(self, flow_id: bytes, mac: str, ttl: int) -> None:
        """Let the code live ``ttl`` seconds from now: SMTP has just taken its mail."""
        await self._run(_RENEW_CODE, flow_id, mac, ttl * 1000)

    async def count_wrong_guesses(self, flow_ids: Sequence[bytes]) -> list[int | None]:
        """Return the wrong attempts at the code of each flow; None if Valkey has lost the count."""
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
        case b"replaced":
            raise CodeOutdated(int(rest[0]), rest[1].decode())
        case b"too_soon":
            raise TooSoon(headers={"Retry-After": rest[0].decode()})
