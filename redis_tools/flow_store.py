"""Flows under way, one hash each in Valkey; every step is one script, so that no other request slips in between.

Fields of ``flow:{id}``:
    purpose, step       which flow it is, and the step that comes next
    secret              SHA-256 of the session key's secret half
    state               open or closed; a closed record stays a while so that its guesses can be settled
    spent:<step>        guesses, or tries, that a step has used up
    mac, mac_until      what the mailed code must hash to, and until when (ms); absent before hand-over
    serial              how many codes were asked for after the first
    minted              the serial of the last code minted; a job for an older one is superseded
    resend_at           when the next code may be asked for (ms)
    claim, claim_until  who is acting on a right answer, and until when (ms)
    data                what the flow is about, JSON
Time is the server's own: no clock of ours decides about a code.
"""

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

CLAIM_MS = 5_000
"""How long a right answer may take to have its effect before the same answer may be given again (design.md, 4)."""

CLOSED_TTL = 7_200
"""Seconds that a closed record stays, for the worker to settle what was reserved (design.md, 4)."""

_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_CLOSE = """
-- What was about a person goes at once; the count of guesses stays.
local function close(key, ttl)
  redis.call('HDEL', key, 'data', 'secret', 'mac', 'mac_until', 'claim', 'claim_until')
  redis.call('HSET', key, 'state', 'closed')
  redis.call('EXPIRE', key, ttl)
end
"""

# KEYS: flow. ARGV: purpose, secret, step, data, flow ttl in s, resend_after in ms.
_OPEN = (
    _CLOCK
    + """
redis.call('HSET', KEYS[1], 'purpose', ARGV[1], 'secret', ARGV[2], 'step', ARGV[3], 'data', ARGV[4],
  'state', 'open', 'serial', 0, 'resend_at', now + ARGV[6])
redis.call('EXPIRE', KEYS[1], ARGV[5])
"""
)

# KEYS: flow. ARGV: purpose, secret, step, claim id, claim in ms, tries allowed, closed ttl, then a MAC of the guess
# for each secret key in use; no MAC at a step that needs no code.
_CLAIM = (
    _CLOCK
    + _CLOSE
    + """
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'state', 'mac', 'mac_until', 'claim_until', 'data')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] or f[4] ~= 'open' then return {'gone'} end
if f[7] and tonumber(f[7]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
-- Count before comparing: parallel guesses each spend one, none slips between a read and a write.
local spent = redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[3], 1)
local left = tonumber(ARGV[6]) - spent
if #ARGV > 7 then
  local right = false
  if f[5] and tonumber(f[6]) > now then
    for i = 8, #ARGV do right = right or f[5] == ARGV[i] end
  end
  if not right then
    if left <= 0 then close(KEYS[1], ARGV[7]) end
    return {'wrong_code', tostring(left)}
  end
  redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[3], -1)
elseif left < 0 then
  close(KEYS[1], ARGV[7])
  return {'gone'}
end
redis.call('HSET', KEYS[1], 'claim', ARGV[4], 'claim_until', now + ARGV[5])
return {'claimed', f[8], tostring(left)}
"""
)

# KEYS: flow. ARGV: claim id, step whose try is given back ('' keeps it), tries allowed, closed ttl.
_RELEASE = (
    _CLOSE
    + """
local f = redis.call('HMGET', KEYS[1], 'claim', 'state', 'step')
if f[1] ~= ARGV[1] or f[2] ~= 'open' then return end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until')
if ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[2], -1)
elseif tonumber(redis.call('HGET', KEYS[1], 'spent:' .. f[3]) or '0') >= tonumber(ARGV[3]) then
  close(KEYS[1], ARGV[4])
end
"""
)

# KEYS: flow. ARGV: claim id, next step, secret of the next step ('' keeps it).
# The mailed code has done its work; the record lives on to the end that its start has set.
_ADVANCE = """
local f = redis.call('HMGET', KEYS[1], 'claim', 'state')
if f[1] ~= ARGV[1] or f[2] ~= 'open' then return -1 end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until', 'mac', 'mac_until')
redis.call('HSET', KEYS[1], 'step', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'secret', ARGV[3]) end
return redis.call('TTL', KEYS[1])
"""

# KEYS: flow. ARGV: claim id, closed ttl.
_FINISH = (
    _CLOSE
    + """
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then close(KEYS[1], ARGV[2]) end
"""
)

# KEYS: flow. ARGV: purpose, secret, step, resends allowed, resend_after in ms.
_RESEND = (
    _CLOCK
    + """
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'state', 'serial', 'resend_at', 'claim_until')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] or f[4] ~= 'open' then return {'gone'} end
if f[7] and tonumber(f[7]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
local ttl = redis.call('TTL', KEYS[1])
if tonumber(f[5]) >= tonumber(ARGV[4]) then return {'too_soon', tostring(ttl)} end
if tonumber(f[6]) > now then return {'too_soon', tostring(math.ceil((f[6] - now) / 1000))} end
redis.call('HSET', KEYS[1], 'serial', f[5] + 1, 'resend_at', now + ARGV[5])
return {'resent', tostring(f[5] + 1), tostring(ttl), f[6]}
"""
)

# KEYS: flow. ARGV: serial, resend_at as it was. Undone only when nobody has asked for another code since.
_UNSEND = """
if redis.call('HGET', KEYS[1], 'serial') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'serial', ARGV[1] - 1, 'resend_at', ARGV[2])
end
"""

# KEYS: flow. ARGV: serial, step, mac, life in ms.
_MINT = (
    _CLOCK
    + """
local f = redis.call('HMGET', KEYS[1], 'state', 'minted', 'step')
if f[1] ~= 'open' or f[3] ~= ARGV[2] or tonumber(f[2] or -1) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'mac', ARGV[3], 'mac_until', now + ARGV[4], 'minted', ARGV[1])
return 1
"""
)

# KEYS: flow. ARGV: mac, life in ms. A code replaced meanwhile stays replaced.
_RENEW = (
    _CLOCK
    + """
if redis.call('HGET', KEYS[1], 'mac') == ARGV[1] then redis.call('HSET', KEYS[1], 'mac_until', now + ARGV[2]) end
"""
)


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
        self._scripts = {
            name: redis.register_script(source)
            for name, source in {
                "open": _OPEN,
                "claim": _CLAIM,
                "release": _RELEASE,
                "advance": _ADVANCE,
                "finish": _FINISH,
                "resend": _RESEND,
                "unsend": _UNSEND,
                "mint": _MINT,
                "renew": _RENEW,
            }.items()
        }

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
