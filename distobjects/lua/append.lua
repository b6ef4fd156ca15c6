-- Append items to a list, into its text as it is stored: neither decoded nor compared.
-- KEYS[1]  the object
-- KEYS[2]  the turn of a writer that kept failing to compare and write; left out where the caller may not read it
-- ARGV     field, the items in JSON with commas between them; then, if the caller is to know the list that comes of it,
--          the text that it knows, but for the closing bracket (as in commit.lua), and how long that is
-- Reply    {1} appended; {1, more} appended, behind what the caller knew and what others had put there since (`more`,
--          which begins with a comma, or is empty); {6, list} appended, and the list is another one than the caller
--          knew; {3} not for a script: the field is absent, or holds no list; {5} somebody has the turn
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
if #ARGV == 2 then
  return {1}
end
local known, length = ARGV[3], tonumber(ARGV[4])
local held, following = string.sub(value, 1, length), string.sub(value, length + 1, length + 1)
-- Without a comma or the bracket behind it, what is known may be the beginning of a longer number.
if (following == ',' or following == ']') and (known == '=' .. held
    or (string.sub(known, 1, 1) == '#' and redis.sha1hex and known == '#' .. redis.sha1hex(held))) then
  return {1, string.sub(value, length + 1, -2)}
end
return {6, list}
