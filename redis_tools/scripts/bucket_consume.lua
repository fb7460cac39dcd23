-- Takes one token of a bucket, if there is one.
-- KEYS: bucket
-- ARGV: burst, milliseconds per token
-- Returns: 1 if it was taken, tokens left, milliseconds until the next token
-- include: clock.lua
local burst, gap = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + gap
if full_at - now > burst * gap then return {0, 0, full_at - now - burst * gap} end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', full_at - now)
return {1, math.floor(burst - (full_at - now) / gap), 0}
