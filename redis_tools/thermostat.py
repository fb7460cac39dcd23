"""The thermostat: wrong guesses of a whole purpose raise the least length of its codes (design.md, section 4).

It stands against one guess at each of many accounts, which no account's own ladder can see. Fields of
``thermostat:{purpose}``:
    level           which floor is in force, 1 the lowest
    epoch           how often the floor was raised; a code minted in an older epoch is not compared any more
    left:<level>    wrong guesses that the level still bears, as of ``at``
    at              when the levels were last refilled (ms)
    won:<day>       flows that succeeded on that day, for a week
    wrong, won      wrong guesses that no success has taken back, and successes, ever since
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from config import Settings
from redis_tools.clock import CLOCK
from redis_tools.exchange import Call, Script, nothing

WEEKLY_SHARE = 0.02
"""Of the week's mean of daily successes: the wrong guesses a day that honest people make (security.md, 2.5)."""

_KEPT = 15 * 86_400_000
"""Milliseconds that a thermostat nobody touches is kept; by then it is full, and its week is empty."""

# KEYS: thermostat. ARGV: what the script wants, then wrong guesses a day that each level bears; one more has no bound.
_HEAD = (
    CLOCK
    + f"""
local key, first = KEYS[1], 4
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
"""
)

_DEBIT = Script(
    _HEAD
    + """
local raised = raise_when_empty()
-- This guess belongs to the epoch in which it found something left, also when it took the last.
local mine, at_level = epoch, level
if level < top then left[level] = left[level] - 1 end
raised = raise_when_empty() or raised
keep()
redis.call('HINCRBY', key, 'wrong', 1)
return {mine, at_level, raised and level or 0}
"""
)

# ARGV[1]: how many guesses; ARGV[2]: the level that they were debited at; ARGV[3]: 1 when a flow has succeeded.
_GIVE_BACK = Script(
    _HEAD
    + """
local at_level = math.min(tonumber(ARGV[2]), top)
if at_level < top then left[at_level] = math.min(cap[at_level], left[at_level] + ARGV[1]) end
keep()
redis.call('HINCRBY', key, 'wrong', -ARGV[1])
if ARGV[3] == '1' then
  redis.call('HINCRBY', key, 'won', 1)
  redis.call('HINCRBY', key, 'won:' .. day, 1)
  redis.call('HDEL', key, 'won:' .. (day - 8), 'won:' .. (day - 9))
end
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
class Debit:
    """A guess that was debited before it is compared."""

    epoch: int
    level: int
    raised_to: int | None
    """Digits of the new floor, when this guess took the last one of its level."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a thermostat shows."""

    digits: int
    epoch: int
    left: int | None
    wrong: int
    won: int
    won_a_day: int


def thermostats(settings: Settings) -> dict[str, Thermostat]:
    """The thermostats of the purposes that have one; a registration has no account to take."""
    caps = {"login": settings.thermostat.login, "recover": settings.thermostat.recover}
    built = {}
    for purpose, its_caps in caps.items():
        rungs = settings.rungs(device=False)[purpose]
        floors = [rung.digits for rung in rungs]
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

    def _call(self, script: Script, read: Any, *wants: int) -> Call[Any]:
        return Call.of(script, [f"thermostat:{{{self.purpose}}}"], [*(*wants, 0, 0, 0)[:3], *self._caps], read)

    def debit(self) -> Call[Debit]:
        """One guess, debited before it is compared, so that no burst slips by; the last one raises the floor."""
        return self._call(_DEBIT, self._debit)

    def give_back(self, guesses: int, level: int, *, won: bool) -> Call[None]:
        """Take guesses off the account: they were right, or a flow that succeeded has explained them."""
        return self._call(_GIVE_BACK, nothing, guesses, level, int(won))

    def read(self) -> Call[Reading]:
        """How it stands; a floor whose time is over has fallen."""
        return self._call(_READ, self._reading)

    def epoch(self) -> Call[int]:
        """How often the floor was raised."""
        return Call(("HGET", f"thermostat:{{{self.purpose}}}", "epoch"), lambda answer: int(answer or 0))

    def _debit(self, answer: Any) -> Debit:
        epoch, level, raised_to = map(int, answer)
        return Debit(epoch, level, self._floors[raised_to - 1] if raised_to else None)

    def _reading(self, answer: Any) -> Reading:
        level, epoch, left, wrong, won, won_a_day = map(int, answer)
        return Reading(self._floors[level - 1], epoch, left if left >= 0 else None, wrong, won, won_a_day)
