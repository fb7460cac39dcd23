-- Makes a code valid. A flow that has entered a newer epoch meanwhile gets the code of the job which that has caused.
-- KEYS: flow
-- ARGV: serial, step, mac, life in ms, rung, epoch in which the length was chosen
-- Returns: 1 if the code is valid, 0 if the flow has ended, or has or awaits a newer code
-- include: clock.lua
local f = redis.call('HMGET', KEYS[1], 'minted', 'step', 'epoch', 'device')
if f[2] ~= ARGV[2] or tonumber(f[1] or -1) > tonumber(ARGV[1]) then return 0 end
if f[4] == '' and tonumber(f[3]) > tonumber(ARGV[6]) then return 0 end
redis.call('HSET', KEYS[1], 'mac', ARGV[3], 'mac_until', now + ARGV[4], 'minted', ARGV[1], 'rung', ARGV[5])
redis.call('HINCRBY', KEYS[1], 'mails', 1)
return 1
