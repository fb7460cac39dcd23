-- Ends a claimed flow.
-- KEYS: flow
-- ARGV: claim id
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then redis.call('DEL', KEYS[1]) end
