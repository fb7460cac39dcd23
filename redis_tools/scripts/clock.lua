-- Fragment: `now`, in milliseconds. The server's clock alone decides about a code or a limit.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
