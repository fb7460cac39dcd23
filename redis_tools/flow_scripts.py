"""The steps of a flow as Lua scripts: each runs as a whole, so that no other request slips in between.

Fields of ``flow:{id}``:
    purpose, step       which flow it is, and the step that comes next
    secret              SHA-256 of the session key's secret half
    state               open or closed; a closed record stays a while so that its guesses can be settled
    spent:<step>        guesses, or tries, that a step has used up
    mac, mac_until      what the mailed code must hash to, and until when (ms); absent before hand-over
    serial              how many codes were asked for after the first
    minted              the serial of the last code minted; a job for an older one is superseded
    resend_at           when the next code may be asked for (ms)
    claim, claim_until  who is acting on a right answer, and until when (ms)
    data                what the flow is about, JSON
Time is the server's own: no clock of ours decides about a code.
"""

from __future__ import annotations

_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_CLOSE = """
-- What was about a person goes at once; the count of guesses stays.
local function close(key, ttl)
  redis.call('HDEL', key, 'data', 'secret', 'mac', 'mac_until', 'claim', 'claim_until')
  redis.call('HSET', key, 'state', 'closed')
  redis.call('EXPIRE', key, ttl)
end
"""

# KEYS: flow. ARGV: purpose, secret, step, data, flow ttl in s, resend_after in ms.
_OPEN = (
    _CLOCK
    + """
redis.call('HSET', KEYS[1], 'purpose', ARGV[1], 'secret', ARGV[2], 'step', ARGV[3], 'data', ARGV[4],
  'state', 'open', 'serial', 0, 'resend_at', now + ARGV[6])
redis.call('EXPIRE', KEYS[1], ARGV[5])
"""
)

# KEYS: flow. ARGV: purpose, secret, step, claim id, claim in ms, tries allowed, closed ttl, then a MAC of the guess
# for each secret key in use; no MAC at a step that needs no code.
_CLAIM = (
    _CLOCK
    + _CLOSE
    + """
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'state', 'mac', 'mac_until', 'claim_until', 'data')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] or f[4] ~= 'open' then return {'gone'} end
if f[7] and tonumber(f[7]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
-- Count before comparing: parallel guesses each spend one, none slips between a read and a write.
local spent = redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[3], 1)
local left = tonumber(ARGV[6]) - spent
if #ARGV > 7 then
  local right = false
  if f[5] and tonumber(f[6]) > now then
    for i = 8, #ARGV do right = right or f[5] == ARGV[i] end
  end
  if not right then
    if left <= 0 then close(KEYS[1], ARGV[7]) end
    return {'wrong_code', tostring(left)}
  end
  redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[3], -1)
elseif left < 0 then
  close(KEYS[1], ARGV[7])
  return {'gone'}
end
redis.call('HSET', KEYS[1], 'claim', ARGV[4], 'claim_until', now + ARGV[5])
return {'claimed', f[8], tostring(left)}
"""
)

# KEYS: flow. ARGV: claim id, step whose try is given back ('' keeps it), tries allowed, closed ttl.
_RELEASE = (
    _CLOSE
    + """
local f = redis.call('HMGET', KEYS[1], 'claim', 'state', 'step')
if f[1] ~= ARGV[1] or f[2] ~= 'open' then return end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until')
if ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[2], -1)
elseif tonumber(redis.call('HGET', KEYS[1], 'spent:' .. f[3]) or '0') >= tonumber(ARGV[3]) then
  close(KEYS[1], ARGV[4])
end
"""
)

# KEYS: flow. ARGV: claim id, next step, secret of the next step ('' keeps it).
# The mailed code has done its work; the record lives on to the end that its start has set.
_ADVANCE = """
local f = redis.call('HMGET', KEYS[1], 'claim', 'state')
if f[1] ~= ARGV[1] or f[2] ~= 'open' then return -1 end
redis.call('HDEL', KEYS[1], 'claim', 'claim_until', 'mac', 'mac_until')
redis.call('HSET', KEYS[1], 'step', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'secret', ARGV[3]) end
return redis.call('TTL', KEYS[1])
"""

# KEYS: flow. ARGV: claim id, closed ttl.
_FINISH = (
    _CLOSE
    + """
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then close(KEYS[1], ARGV[2]) end
"""
)

# KEYS: flow. ARGV: purpose, secret, step, resends allowed, resend_after in ms.
_RESEND = (
    _CLOCK
    + """
local f = redis.call('HMGET', KEYS[1], 'purpose', 'secret', 'step', 'state', 'serial', 'resend_at', 'claim_until')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] or f[4] ~= 'open' then return {'gone'} end
if f[7] and tonumber(f[7]) > now then return {'gone'} end
if f[3] ~= ARGV[3] then return {'out_of_order'} end
local ttl = redis.call('TTL', KEYS[1])
if tonumber(f[5]) >= tonumber(ARGV[4]) then return {'too_soon', tostring(ttl)} end
if tonumber(f[6]) > now then return {'too_soon', tostring(math.ceil((f[6] - now) / 1000))} end
redis.call('HSET', KEYS[1], 'serial', f[5] + 1, 'resend_at', now + ARGV[5])
return {'resent', tostring(f[5] + 1), tostring(ttl), f[6]}
"""
)

# KEYS: flow. ARGV: serial, resend_at as it was. Undone only when nobody has asked for another code since.
_UNSEND = """
if redis.call('HGET', KEYS[1], 'serial') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'serial', ARGV[1] - 1, 'resend_at', ARGV[2])
end
"""

# KEYS: flow. ARGV: serial, step, mac, life in ms.
_MINT = (
    _CLOCK
    + """
local f = redis.call('HMGET', KEYS[1], 'state', 'minted', 'step')
if f[1] ~= 'open' or f[3] ~= ARGV[2] or tonumber(f[2] or -1) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'mac', ARGV[3], 'mac_until', now + ARGV[4], 'minted', ARGV[1])
return 1
"""
)

# KEYS: flow. ARGV: mac, life in ms. A code replaced meanwhile stays replaced.
_RENEW = (
    _CLOCK
    + """
if redis.call('HGET', KEYS[1], 'mac') == ARGV[1] then redis.call('HSET', KEYS[1], 'mac_until', now + ARGV[2]) end
"""
)

SCRIPTS = {
    "open": _OPEN,
    "claim": _CLAIM,
    "release": _RELEASE,
    "advance": _ADVANCE,
    "finish": _FINISH,
    "resend": _RESEND,
    "unsend": _UNSEND,
    "mint": _MINT,
    "renew": _RENEW,
}
"""Every script by its name."""
