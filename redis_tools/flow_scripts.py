"""The steps of a flow as Lua scripts: each runs as a whole, so that no other request slips in between.

A flow that is open is a hash ``flow:{id}``; one that is over has none. Its fields:
    purpose, step       which flow it is, and the step that comes next
    secret              SHA-256 of the session key's secret half
    subject, device     whose it is, as an HMAC of the address; the known device that began it, or nothing
    epoch               of the thermostat, when the flow began or was told of a newer one
    spent:<step>        tries that a step other than the code has used up
    owed, owed_at       wrong guesses that the thermostat was charged with, and its level then
    mac, mac_until      what the mailed code must hash to, and until when (ms); absent before hand-over
    serial, resends     how many codes were wanted after the first, and how many of them the client asked for
    minted, mails       the serial of the last code minted, and how many were; a job for an older one is superseded
    rung                digits of the rung that was reserved for the flow
    resend_at           when the next code may be asked for (ms)
    claim, claim_until  who is acting on a right answer, and until when (ms)
    data                what the flow is about, JSON
``spent:{id}`` counts wrong guesses at its code. It outlives the flow, so that what was reserved can be settled.
"""

from __future__ import annotations

from redis_tools.clock import CLOCK
from redis_tools.pipeline import Script

# KEYS: flow, spent. ARGV: flow ttl in s, spent ttl in s, resend_after in ms, then the fields.
OPEN = Script(
    CLOCK
    + """
redis.call('HSET', KEYS[1], 'serial', 0, 'resends', 0, 'mails', 0, 'resend_at', now + ARGV[3], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], 0, 'EX', ARGV[2])
"""
)

# KEYS: flow, spent. ARGV: purpose, secret, step, claim id, claim in ms, tries allowed, epoch of the thermostat,
# level of the thermostat that holds the guess (0: it holds none), subject that a rescue code speaks for, then a MAC of
# the guess for each secret key in use; none where no code is due.
CLAIM = Script(
    CLOCK
    + """
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'claim_until', 'mac', 'mac_until', 'epoch',
  'device', 'subject', 'serial')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] then return {'gone'} end
if f[4] and tonumber(f[4]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
local held_at, rescued = ARGV[8], ARGV[9] ~= '' and ARGV[9] == f[9]
local left
if #ARGV > 9 or rescued then
  -- Whatever was minted in an older epoch may be too short by now: it is neither compared nor counted.
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
    elseif held_at ~= '0' then
      -- What a success explains later is what was charged, and at that level; anything more would be a gift.
      if redis.call('HGET', KEYS[1], 'owed_at') ~= held_at then
        redis.call('HSET', KEYS[1], 'owed_at', held_at, 'owed', 0)
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
return {'claimed', tostring(left), g[1], g[2], g[3], g[4], g[5] == held_at and g[6] or '0'}
"""
)

# KEYS: flow. ARGV: claim id, step whose try is given back ('' keeps it), tries allowed.
RELEASE = Script(
    """
local f = redis.call('HMGET', KEYS[1], 'claim', 'step')
if f[1] ~= ARGV[1] then return end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until')
if ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[2], -1)
elseif tonumber(redis.call('HGET', KEYS[1], 'spent:' .. f[2]) or '0') >= tonumber(ARGV[3]) then
  redis.call('DEL', KEYS[1])
end
"""
)

# KEYS: flow. ARGV: claim id, next step, secret of the next step and what the flow is about from now on ('' keeps each).
# The mailed code has done its work; the record lives on to the end that its start has set.
ADVANCE = Script(
    """
if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[1] then return -1 end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until', 'mac', 'mac_until')
redis.call('HSET', KEYS[1], 'step', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'secret', ARGV[3]) end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'data', ARGV[4]) end
return redis.call('TTL', KEYS[1])
"""
)

# KEYS: flow. ARGV: claim id.
FINISH = Script(
    """
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
)

# KEYS: flow. ARGV: purpose, secret, step, resends allowed, resend_after in ms.
RESEND = Script(
    CLOCK
    + """
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'serial', 'resends', 'resend_at', 'claim_until')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] then return {'gone'} end
if f[7] and tonumber(f[7]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
local ttl = redis.call('TTL', KEYS[1])
if tonumber(f[5]) >= tonumber(ARGV[4]) then return {'too_soon', tostring(ttl)} end
if tonumber(f[6]) > now then return {'too_soon', tostring(math.ceil((f[6] - now) / 1000))} end
redis.call('HSET', KEYS[1], 'serial', f[4] + 1, 'resends', f[5] + 1, 'resend_at', now + ARGV[5])
return {'resent', tostring(f[4] + 1), tostring(ttl), f[6]}
"""
)

# KEYS: flow. ARGV: serial, resend_at as it was. Undone only when nobody has asked for another code since.
UNSEND = Script(
    """
if redis.call('HGET', KEYS[1], 'serial') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'serial', ARGV[1] - 1, 'resend_at', ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'resends', -1)
end
"""
)

# KEYS: flow. ARGV: serial, epoch as it was. The next guess is told to wait for another code, as this one was.
UNREPLACE = Script(
    """
if redis.call('HGET', KEYS[1], 'serial') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'serial', ARGV[1] - 1, 'epoch', ARGV[2])
end
"""
)

# KEYS: flow. ARGV: serial, step, mac, life in ms, rung, epoch in which the length was chosen. A flow that was told of a
# newer epoch meanwhile gets the code of the job that this telling has brought about.
MINT = Script(
    CLOCK
    + """
local f = redis.call('HMGET', KEYS[1], 'minted', 'step', 'epoch', 'device')
if f[2] ~= ARGV[2] or tonumber(f[1] or -1) > tonumber(ARGV[1]) then return 0 end
if f[4] == '' and tonumber(f[3]) > tonumber(ARGV[6]) then return 0 end
redis.call('HSET', KEYS[1], 'mac', ARGV[3], 'mac_until', now + ARGV[4], 'minted', ARGV[1], 'rung', ARGV[5])
redis.call('HINCRBY', KEYS[1], 'mails', 1)
return 1
"""
)

# KEYS: flow. ARGV: mac, life in ms. A code replaced meanwhile stays replaced.
RENEW = Script(
    CLOCK
    + """
if redis.call('HGET', KEYS[1], 'mac') == ARGV[1] then redis.call('HSET', KEYS[1], 'mac_until', now + ARGV[2]) end
"""
)
