-- Store several objects whole, all with the same fields: where nothing is, or in place of whatever their keys hold.
-- KEYS     the objects, none of them twice
-- ARGV     '1' if what is there is replaced: its other fields and its TTL go; how many fields (n), their names,
--          then n values for each key in turn
-- Reply    for each key, 1 stored, 0 something is already there
-- Keeps    each object appears whole, as with insert.lua and replace.lua; one call costs two thirds of theirs
local replaces, n = ARGV[1] == '1', tonumber(ARGV[2])
local there = redis.call('EXISTS', unpack(KEYS))
local replies, old, fields = {}, {}, {}
for j = 1, n do
  fields[2 * j - 1], fields[2 * j] = ARGV[2 + j], ''
end
local function store(i, key)
  for j = 1, n do
    fields[2 * j] = ARGV[2 + n * i + j]
  end
  redis.call('HSET', key, unpack(fields))
  replies[i] = 1
end
for i, key in ipairs(KEYS) do
  if there == #KEYS or there > 0 and redis.call('EXISTS', key) == 1 then
    old[#old + 1], replies[i] = key, 0
  else
    store(i, key)
  end
end
-- Behind what is new: after a DEL, a server that is out of memory would let its HSET pass.
if replaces and there > 0 then
  redis.call('DEL', unpack(old))
  for i, key in ipairs(KEYS) do
    if replies[i] == 0 then
      store(i, key)
    end
  end
end
return replies
