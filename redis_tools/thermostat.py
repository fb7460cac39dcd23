"""The thermostat: wrong guesses of a whole purpose raise the least length of its codes (design.md, section 4).

It stands against one guess at each of many accounts, which no account's own ladder can see. Fields of
``thermostat:{purpose}``:
    level           which floor is in force, 1 the lowest
    epoch           how often the floor was raised; a code minted in an older epoch is not compared any more
    left:<level>    wrong guesses that the level still bears, as of ``at``
    at              when the levels were last refilled (ms)
    won:<day>       flows that succeeded on that day, for a week
    wrong, won      wrong guesses that no success has taken back, and successes, ever since
``thermostat:{purpose}:held`` names the guesses under way, each with the moment at which it is given up.

A guess is held before it is compared and resolved afterwards. Were it debited for good at once, whoever sends twenty
guesses at no flow at all in one breath would raise the floor, and kill every code that is under way.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from models.settings.groups import ThermostatSettings
from models.values.ladder import Rung
from redis_tools.clock import CLOCK
from redis_tools.pipeline import Command, Script

_Result = TypeVar("_Result")

WEEKLY_SHARE = 0.02
"""Of the week's mean of daily successes: the wrong guesses a day that honest people make (security.md, 2.5)."""

HOLD_MS = 10_000
"""How long a guess may be under way; one that nobody has resolved by then counts as wrong (a process has died)."""

_KEPT = 15 * 86_400_000
"""Milliseconds that a thermostat nobody touches is kept; by then it is full, and its week is empty."""

# KEYS: thermostat, guesses under way. ARGV: what the script wants, then wrong guesses a day that each level bears; one
# level more has no bound.
_HEAD = (
    CLOCK
    + f"""
local HOLD_MS, KEPT = {HOLD_MS}, {_KEPT}
local key, held, first = KEYS[1], KEYS[2], 5
local day = math.floor(now / 86400000)
local top = #ARGV - first + 2
local f = {{}}
local flat = redis.call('HGETALL', key)
for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
local level, epoch = tonumber(f['level'] or '1'), tonumber(f['epoch'] or '0')
if level > top then level = top end
local week = 0
for back = 1, 7 do week = week + tonumber(f['won:' .. (day - back)] or '0') end
local cap, left = {{}}, {{}}
local past = math.max(0, now - tonumber(f['at'] or now))
for i = 1, top - 1 do
  cap[i] = math.max(tonumber(ARGV[first + i - 1]), week / 7 * {WEEKLY_SHARE})
  left[i] = math.min(cap[i], tonumber(f['left:' .. i] or cap[i]) + cap[i] * past / 86400000)
end
local overdue = redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
if overdue > 0 then
  if level < top then left[level] = left[level] - overdue end
  redis.call('HINCRBY', key, 'wrong', overdue)
end
-- A floor falls when the bucket below it is half full again.
while level > 1 and left[level - 1] >= cap[level - 1] / 2 do level = level - 1 end
local function raise_when_empty()
  local before = level
  while level < top and left[level] < 1 do level = level + 1 end
  if level > before then epoch = epoch + 1 end
  return level > before
end
local function keep()
  redis.call('HSET', key, 'level', level, 'epoch', epoch, 'at', string.format('%.0f', now))
  for i = 1, top - 1 do redis.call('HSET', key, 'left:' .. i, string.format('%.6f', left[i])) end
  redis.call('PEXPIRE', key, {_KEPT})
end
-- What nobody has resolved is written down at once, whoever looks first.
if overdue > 0 then
  raise_when_empty()
  keep()
end
"""
)

# ARGV[1]: a name for the guess.
_HOLD = Script(
    _HEAD
    + """
raise_when_empty()
if level < top then
  -- What is under way may turn out wrong: it is counted as if it had, until it is known.
  if left[level] - redis.call('ZCARD', held) < 1 then return {-1, 0} end
  redis.call('ZADD', held, now + HOLD_MS, ARGV[1])
  redis.call('PEXPIRE', held, KEPT)
end
keep()
return {epoch, level}
"""
)

# ARGV[1]: the name of the guess. ARGV[2]: the level that it was held at. ARGV[3]: "wrong", "void" or "won".
# ARGV[4]: how many wrong guesses of the same flow its success explains.
_RESOLVE = Script(
    _HEAD
    + """
local at_level = math.min(tonumber(ARGV[2]), top)
local ours = redis.call('ZREM', held, ARGV[1])
-- A hold that ran out was counted as wrong; what came late is mended here.
local change = 0
if ARGV[3] == 'wrong' then
  if ours == 1 or at_level == top then change = -1 end
else
  change = tonumber(ARGV[4]) + (ours == 0 and at_level < top and 1 or 0)
end
if at_level < top then left[at_level] = math.min(cap[at_level], left[at_level] + change) end
local raised = raise_when_empty()
keep()
redis.call('HINCRBY', key, 'wrong', -change)
if ARGV[3] == 'won' then
  redis.call('HINCRBY', key, 'won', 1)
  redis.call('HINCRBY', key, 'won:' .. day, 1)
  redis.call('HDEL', key, 'won:' .. (day - 8), 'won:' .. (day - 9))
end
return raised and level or 0
"""
)

_READ = Script(
    _HEAD
    + """
local rest = level < top and left[level] or -1
return {level, epoch, math.floor(rest), tonumber(f['wrong'] or '0'), tonumber(f['won'] or '0'), math.floor(week / 7)}
"""
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A guess under way: it may be compared with codes of its epoch, and has to be resolved."""

    name: str
    epoch: int
    level: int


@dataclass(frozen=True, slots=True)
class ThermostatState:
    """What a thermostat shows."""

    digits: int
    epoch: int
    left: int | None
    wrong: int
    won: int
    won_a_day: int


def thermostats(settings: ThermostatSettings, rungs: Mapping[str, Sequence[Rung]]) -> dict[str, Thermostat]:
    """The thermostats of the purposes that have one; a registration has no account to take."""
    caps = {"login": settings.login, "recover": settings.recover}
    built = {}
    for purpose, its_caps in caps.items():
        floors = [rung.digits for rung in rungs[purpose]]
        built[purpose] = Thermostat(purpose, floors, its_caps[len(its_caps) - len(floors) + 1 :])
    return built


class Thermostat:
    """The thermostat of one purpose: floors from the first length to the last, and what each bears a day."""

    def __init__(self, purpose: str, floors: Sequence[int], caps: Sequence[int]) -> None:
        """There is one floor more than there are caps: the last one bears everything."""
        if len(floors) != len(caps) + 1:
            raise ValueError("every floor but the last needs a cap")
        self.purpose = purpose
        self.lowest = floors[0]
        self._floors = tuple(floors)
        self._caps = tuple(caps)

    def _call(self, script: Script, read: Callable[[Any], _Result], *wants: str | int) -> Command[_Result]:
        keys = [f"thermostat:{{{self.purpose}}}", f"thermostat:{{{self.purpose}}}:held"]
        return Command.of(script, keys, [*(*wants, 0, 0, 0, 0)[:4], *self._caps], read)

    def reserve(self) -> Command[Reservation | None]:
        """Let one guess be compared; None while all that the floor still bears are under way."""
        name = secrets.token_hex(8)

        def read(answer: Any) -> Reservation | None:
            epoch, level = map(int, answer)
            return None if epoch < 0 else Reservation(name, epoch, level)

        return self._call(_HOLD, read, name)

    def cancel(self, reservation: Reservation) -> Command[int | None]:
        """The guess was not compared, or was right and came to nothing."""
        return self._call(_RESOLVE, self._raised, reservation.name, reservation.level, "void")

    def failed(self, reservation: Reservation) -> Command[int | None]:
        """The guess was wrong; the answer is the new floor in digits, when it took the last one of its level."""
        return self._call(_RESOLVE, self._raised, reservation.name, reservation.level, "wrong")

    def succeeded(self, reservation: Reservation, wrong_before: int) -> Command[int | None]:
        """The guess was right, and explains the wrong ones that its flow had before."""
        return self._call(_RESOLVE, self._raised, reservation.name, reservation.level, "won", wrong_before)

    def get_state(self) -> Command[ThermostatState]:
        """How it stands; a floor whose time is over has fallen."""
        return self._call(_READ, self._reading)

    def get_epoch(self) -> Command[int]:
        """How often the floor was raised."""
        return Command(("HGET", f"thermostat:{{{self.purpose}}}", "epoch"), lambda answer: int(answer or 0))

    def _raised(self, answer: Any) -> int | None:
        return self._floors[int(answer) - 1] if int(answer) else None

    def _reading(self, answer: Any) -> ThermostatState:
        level, epoch, left, wrong, won, won_a_day = map(int, answer)
        return ThermostatState(self._floors[level - 1], epoch, left if left >= 0 else None, wrong, won, won_a_day)
