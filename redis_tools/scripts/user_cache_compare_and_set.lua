-- Replaces the value that the caller has read, and no other.
-- KEYS: entry
-- ARGV: value that was read ('' for none), new value, its life in ms
-- Returns: 1 if it was replaced
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
