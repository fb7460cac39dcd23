-- Takes back that another code is due: the next guess finds the code outdated again.
-- KEYS: flow
-- ARGV: serial, epoch before
if redis.call('HGET', KEYS[1], 'serial') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'serial', ARGV[1] - 1, 'epoch', ARGV[2])
end
