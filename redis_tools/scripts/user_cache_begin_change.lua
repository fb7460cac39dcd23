-- Puts a tombstone in the place of an entry. Of several changes at once, each adds its id to the tombstone.
-- KEYS: entry
-- ARGV: id of the change, life of the tombstone in ms
local found = redis.call('GET', KEYS[1]) or ''
local ids = string.sub(found, 1, 9) == 'changing:' and found .. ',' or 'changing:'
redis.call('SET', KEYS[1], ids .. ARGV[1], 'PX', ARGV[2])
