-- Append items to a list, into its text as it is stored: neither decoded nor compared.
-- KEYS[1]  the object
-- KEYS[2]  the turn of a writer that kept failing to compare and write; left out where the caller may not read it
-- ARGV     field, the items in JSON with commas between them, then, if the caller is to know the list that comes of it,
--          what it takes the field to hold (as in commit.lua)
-- Reply    {1} appended, to what the caller took the field to hold if it said so; {1, list} appended, and this is the
--          list now; {3} not for a script: the field is absent, or holds no list; {5} somebody has the turn
-- Keeps    no item is lost; no field comes into being, and so no object; who has the turn gets it done
if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1 then
  return {5}
end
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or string.sub(value, 1, 1) ~= '[' or string.sub(value, -1) ~= ']' then
  return {3}
end
local comma = ','
if string.match(value, '^%[[ \t\r\n]*%]$') then
  comma = ''
end
local list = string.sub(value, 1, -2) .. comma .. ARGV[2] .. ']'
redis.call('HSET', KEYS[1], ARGV[1], list)
local known = ARGV[3]
if not known or known == '=' .. value
    or (string.sub(known, 1, 1) == '#' and redis.sha1hex and known == '#' .. redis.sha1hex(value)) then
  return {1}
end
return {1, list}
