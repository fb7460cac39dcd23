-- Notes that the client requests another code.
-- KEYS: flow
-- ARGV: purpose, secret, step, resends allowed, resend_after in ms
-- Returns: gone | out_of_order | too_soon, seconds to wait
--   | resent, serial, seconds until the flow ends, resend_at before
-- include: clock.lua
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'serial', 'resends', 'resend_at', 'claim_until')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] then return {'gone'} end
if f[7] and tonumber(f[7]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
local ttl = redis.call('TTL', KEYS[1])
if tonumber(f[5]) >= tonumber(ARGV[4]) then return {'too_soon', tostring(ttl)} end
if tonumber(f[6]) > now then return {'too_soon', tostring(math.ceil((f[6] - now) / 1000))} end
redis.call('HSET', KEYS[1], 'serial', f[4] + 1, 'resends', f[5] + 1, 'resend_at', now + ARGV[5])
return {'resent', tostring(f[4] + 1), tostring(ttl), f[6]}
