-- Write several objects, provided that nothing that the writes are based on has changed.
-- KEYS     the objects
-- ARGV     for each key in turn: what becomes of it ('=' it stays or is changed, '+' it is new, '-' it is deleted),
--          how many fields are compared (n), n times field and what it must hold (as in commit.lua),
--          how many fields are written (m), m times field and value
-- Reply    {1} committed, {0, i} key i is not there, {2, i, field, ...} fields of key i changed, or with no field it is
--          there already, and nothing was written; {3} this server has no SHA-1: ask again with the bytes
-- Keeps    all objects change in one step, or none does
local at = 1
local writes = {}
for i, key in ipairs(KEYS) do
  local fate, compared = ARGV[at], tonumber(ARGV[at + 1])
  local there = redis.call('EXISTS', key) == 1
  if fate == '+' and there then
    return {2, i}
  elseif fate ~= '+' and not there then
    return {0, i}
  end
  local reply = {2, i}
  at = at + 2
  for _ = 1, compared do
    local value, expected, held = redis.call('HGET', key, ARGV[at]), ARGV[at + 1], ''
    if value and string.sub(expected, 1, 1) == '#' then
      if not redis.sha1hex then
        return {3}
      end
      held = '#' .. redis.sha1hex(value)
    elseif value then
      held = '=' .. value
    end
    if held ~= expected then
      reply[#reply + 1] = ARGV[at]
    end
    at = at + 2
  end
  if #reply > 2 then
    return reply
  end
  local written = tonumber(ARGV[at])
  if fate == '-' then
    writes[#writes + 1] = {'DEL', key}
  elseif written > 0 then
    writes[#writes + 1] = {'HSET', key, unpack(ARGV, at + 1, at + 2 * written)}
  end
  at = at + 1 + 2 * written
end
for _, write in ipairs(writes) do
  redis.call(unpack(write))
end
return {1}
