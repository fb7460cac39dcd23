-- Gives up a claim, so that the step can be tried again.
-- KEYS: flow
-- ARGV: claim id, step whose try is refunded ('' for none), tries allowed
local f = redis.call('HMGET', KEYS[1], 'claim', 'step')
if f[1] ~= ARGV[1] then return end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until')
if ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[2], -1)
elseif tonumber(redis.call('HGET', KEYS[1], 'spent:' .. f[2]) or '0') >= tonumber(ARGV[3]) then
  redis.call('DEL', KEYS[1])
end
