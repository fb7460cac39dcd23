-- Moves a claimed flow to its next step. The mailed code is used up; the flow keeps the end that its start has set.
-- KEYS: flow
-- ARGV: claim id, next step, secret of the next step ('' keeps it), data from now on ('' keeps it)
-- Returns: seconds until the flow ends, negative if the claim or the flow has ended
if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[1] then return -1 end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until', 'mac', 'mac_until')
redis.call('HSET', KEYS[1], 'step', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'secret', ARGV[3]) end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'data', ARGV[4]) end
return redis.call('TTL', KEYS[1])
