-- Takes back a request for another code, unless one more was made since.
-- KEYS: flow
-- ARGV: serial, resend_at before
if redis.call('HGET', KEYS[1], 'serial') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'serial', ARGV[1] - 1, 'resend_at', ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'resends', -1)
end
