-- Puts tokens back into a bucket; a full bucket stays full.
-- KEYS: bucket
-- ARGV: milliseconds per token, tokens
-- include: clock.lua
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0') - ARGV[1] * ARGV[2]
if full_at <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', full_at - now)
end
