-- Write fields of an object, provided that the fields which the write is based on have not changed.
-- KEYS[1]  the object
-- ARGV     '1' if an absent object may come into being, how many fields are compared (n), then n times: field, what
--          it must hold ('=' and the bytes, '#' and their SHA-1 in hex, or '' where it must be absent),
--          then field, value, field, value, ... to write
-- Reply    {1} written, {0} there is no such object, {2, field, ...} these fields changed and nothing was written,
--          {3} this server has no SHA-1: ask again with the bytes
-- Keeps    compare and write are one step: no update between them is lost
if ARGV[1] ~= '1' and redis.call('EXISTS', KEYS[1]) == 0 then
  return {0}
end
local reply = {2}
local last = 2 + 2 * tonumber(ARGV[2])
for i = 3, last, 2 do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  local expected = ARGV[i + 1]
  local held = ''
  if value and string.sub(expected, 1, 1) == '#' then
    if not redis.sha1hex then
      return {3}
    end
    held = '#' .. redis.sha1hex(value)
  elseif value then
    held = '=' .. value
  end
  if held ~= expected then
    reply[#reply + 1] = ARGV[i]
  end
end
if #reply > 1 then
  return reply
end
if #ARGV > last then
  redis.call('HSET', KEYS[1], unpack(ARGV, last + 1))
end
return {1}
