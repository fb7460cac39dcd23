-- Counts a try, compares the code, and claims the step.
-- KEYS: flow, spent
-- ARGV: purpose, secret, step, claim id, claim in ms, tries allowed, epoch of the thermostat, level at which the
--   thermostat reserved the guess ('0' for none), subject of the rescue code ('' for none), then a MAC of the guess
--   for each secret key in use (none at a step without a code)
-- Returns: gone | out_of_order | replaced, serial, epoch before | wrong_code, tries left, data
--   | claimed, tries left, data, subject, device, mails, wrong guesses charged at this level
-- include: clock.lua
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'claim_until', 'mac', 'mac_until', 'epoch',
  'device', 'subject', 'serial')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] then return {'gone'} end
if f[4] and tonumber(f[4]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
local level, rescued = ARGV[8], ARGV[9] ~= '' and ARGV[9] == f[9]
local left
if #ARGV > 9 or rescued then
  -- A code of an older epoch may be too short by now: it is neither compared nor counted.
  if not rescued and f[8] == '' and tonumber(f[7]) < tonumber(ARGV[7]) then
    redis.call('HDEL', KEYS[1], 'mac', 'mac_until')
    redis.call('HSET', KEYS[1], 'epoch', ARGV[7], 'serial', f[10] + 1)
    return {'replaced', tostring(f[10] + 1), f[7]}
  end
  -- Count before comparing: parallel guesses each spend one, none slips between a read and a write.
  left = tonumber(ARGV[6]) - redis.call('INCR', KEYS[2])
  local right = rescued
  if f[5] and tonumber(f[6]) > now then
    for i = 10, #ARGV do right = right or f[5] == ARGV[i] end
  end
  if not right then
    local data = redis.call('HGET', KEYS[1], 'data')
    if left <= 0 then
      redis.call('DEL', KEYS[1])
    elseif level ~= '0' then
      -- Refund only what was charged at this level.
      if redis.call('HGET', KEYS[1], 'owed_at') ~= level then
        redis.call('HSET', KEYS[1], 'owed_at', level, 'owed', 0)
      end
      redis.call('HINCRBY', KEYS[1], 'owed', 1)
    end
    return {'wrong_code', tostring(left), data}
  end
  redis.call('DECR', KEYS[2])
else
  left = tonumber(ARGV[6]) - redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[3], 1)
  if left < 0 then
    redis.call('DEL', KEYS[1])
    return {'gone'}
  end
end
redis.call('HSET', KEYS[1], 'claim', ARGV[4], 'claim_until', now + ARGV[5])
local g = redis.call('HMGET', KEYS[1], 'data', 'subject', 'device', 'mails', 'owed_at', 'owed')
return {'claimed', tostring(left), g[1], g[2], g[3], g[4], g[5] == level and g[6] or '0'}
