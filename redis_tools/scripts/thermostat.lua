-- Fragment, the head of every script of the thermostat: reads its state, with everything that time has changed.
-- Fields of `thermostat:{purpose}`:
--   level           the floor in force, 1 the lowest
--   epoch           how often the floor was raised; codes of an older epoch are not compared
--   left:<level>    wrong guesses that the level still bears, as of `at`
--   at              when the levels were last refilled (ms)
--   won:<day>       flows that succeeded on that day, for a week
--   wrong, won      wrong guesses that no success has explained, and successes, since the beginning
-- `thermostat:{purpose}:held` holds the name of each guess under way, and when its reservation ends.
-- KEYS: thermostat, held
-- ARGV: four arguments of the script ('0' for none), then the wrong guesses a day that each level bears; one level more
--   has no bound
-- include: clock.lua
-- A guess not settled by then counts as wrong: its process has died.
local RESERVATION_MS = 10000
-- A thermostat that is unused for so long is full, and its week is empty.
local UNUSED_MS = 15 * 86400000
-- Of the week's mean of daily successes: the wrong guesses a day that honest people make (threats.md, 2.5).
local WEEKLY_SHARE = 0.02
local key, held, first = KEYS[1], KEYS[2], 5
local day = math.floor(now / 86400000)
local top = #ARGV - first + 2
local f = {}
local flat = redis.call('HGETALL', key)
for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
local level, epoch = tonumber(f['level'] or '1'), tonumber(f['epoch'] or '0')
if level > top then level = top end
local week = 0
for back = 1, 7 do week = week + tonumber(f['won:' .. (day - back)] or '0') end
local cap, left = {}, {}
local past = math.max(0, now - tonumber(f['at'] or now))
for i = 1, top - 1 do
  cap[i] = math.max(tonumber(ARGV[first + i - 1]), week / 7 * WEEKLY_SHARE)
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
local function save()
  redis.call('HSET', key, 'level', level, 'epoch', epoch, 'at', string.format('%.0f', now))
  for i = 1, top - 1 do redis.call('HSET', key, 'left:' .. i, string.format('%.6f', left[i])) end
  redis.call('PEXPIRE', key, UNUSED_MS)
end
-- Every script saves overdue guesses at once, also one that only reads.
if overdue > 0 then
  raise_when_empty()
  save()
end
