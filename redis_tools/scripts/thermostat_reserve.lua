-- Reserves a guess before its code is compared.
-- ARGV[1]: name of the guess
-- Returns: epoch and level, or {-1, 0} while the guesses under way are all that the level still bears
-- include: thermostat.lua
raise_when_empty()
if level < top then
  -- Every guess under way counts as wrong until it is settled.
  if left[level] - redis.call('ZCARD', held) < 1 then return {-1, 0} end
  redis.call('ZADD', held, now + RESERVATION_MS, ARGV[1])
  redis.call('PEXPIRE', held, UNUSED_MS)
end
save()
return {epoch, level}
