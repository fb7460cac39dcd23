-- Settles a reserved guess.
-- ARGV[1]: name of the guess   ARGV[2]: level at which it was reserved   ARGV[3]: failed | cancelled | succeeded
-- ARGV[4]: how many wrong guesses of the same flow a success explains
-- Returns: the new level if the guess has raised it, else 0
-- include: thermostat.lua
local at_level = math.min(tonumber(ARGV[2]), top)
local ours = redis.call('ZREM', held, ARGV[1])
-- A reservation that ran out was counted as wrong; a late result corrects that.
local change = 0
if ARGV[3] == 'failed' then
  if ours == 1 or at_level == top then change = -1 end
else
  change = tonumber(ARGV[4]) + (ours == 0 and at_level < top and 1 or 0)
end
if at_level < top then left[at_level] = math.min(cap[at_level], left[at_level] + change) end
local raised = raise_when_empty()
save()
redis.call('HINCRBY', key, 'wrong', -change)
if ARGV[3] == 'succeeded' then
  redis.call('HINCRBY', key, 'won', 1)
  redis.call('HINCRBY', key, 'won:' .. day, 1)
  redis.call('HDEL', key, 'won:' .. (day - 8), 'won:' .. (day - 9))
end
return raised and level or 0
