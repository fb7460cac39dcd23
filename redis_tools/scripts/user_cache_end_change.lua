-- Deletes the tombstone of a change, and any value that was read before it. While other changes are under way, the
-- tombstone stays with their ids.
-- KEYS: entry
-- ARGV: id of the change
local found = redis.call('GET', KEYS[1]) or ''
local others = {}
if string.sub(found, 1, 9) == 'changing:' then
  for id in string.gmatch(string.sub(found, 10), '[^,]+') do
    if id ~= ARGV[1] then table.insert(others, id) end
  end
end
if #others > 0 then
  redis.call('SET', KEYS[1], 'changing:' .. table.concat(others, ','), 'KEEPTTL')
else
  redis.call('DEL', KEYS[1])
end
