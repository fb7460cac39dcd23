-- Opens a flow. An open flow is a hash `flow:{id}`, a flow that has ended has none. Its fields:
--   purpose, step       which flow it is, and the next step
--   secret              SHA-256 of the session key's secret half
--   subject, device     HMAC of the address; the known device that began the flow, or nothing
--   epoch               of the thermostat, at the start of the flow or when it last became outdated
--   spent:<step>        tries used at a step other than the code
--   owed, owed_at       wrong guesses that the thermostat was charged with, and its level then
--   mac, mac_until      MAC of the mailed code, and its end (ms); absent until a worker has the mail
--   serial, resends     how many codes were requested after the first, and how many of them by the client
--   minted, mails       serial of the last code made, and how many were made; a job for an older serial is superseded
--   rung                digits of the rung that was reserved for the flow
--   resend_at           when the next code may be requested (ms)
--   claim, claim_until  the request that acts on a right answer, and until when (ms)
--   data                what the flow is about, JSON
-- `spent:{id}` counts wrong guesses at its code. It outlives the flow, so that the reservation can be settled.
-- KEYS: flow, spent
-- ARGV: life of the flow in s, life of spent in s, resend_after in ms, then field, value, field, value, ...
-- include: clock.lua
redis.call('HSET', KEYS[1], 'serial', 0, 'resends', 0, 'mails', 0, 'resend_at', now + ARGV[3], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], 0, 'EX', ARGV[2])
