-- Restarts the life of a code, unless it was replaced.
-- KEYS: flow
-- ARGV: mac, life in ms
-- include: clock.lua
if redis.call('HGET', KEYS[1], 'mac') == ARGV[1] then redis.call('HSET', KEYS[1], 'mac_until', now + ARGV[2]) end
