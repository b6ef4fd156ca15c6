-- Add to a number, unless its bounds refuse the sum.
-- KEYS[1]  the object
-- ARGV     field, 'int' or 'float', what to add, the default's bytes ('' where there is none),
--          '1' if an absent object may come into being, then bound, value, ... ('ge', 'gt', 'le', 'lt'; ints only)
-- Reply    {1, sum} added, {0} there is no such object, {2, value} a bound refuses the sum and nothing changed,
--          {3} not for a script: no number, beyond what a double holds exactly, or of more decimals than
--          HINCRBYFLOAT writes; {4} neither value nor default
-- Keeps    no addition is lost, and what is stored obeys its bounds; the field's time to live stays
local key, field, by = KEYS[1], ARGV[1], ARGV[3]
if ARGV[5] ~= '1' and redis.call('EXISTS', key) == 0 then
  return {0}
end
local value = redis.call('HGET', key, field)
local held = value or ARGV[4]
if not value and held == '' then
  return {4}
end
if ARGV[2] == 'float' then
  -- As JSON has it: HINCRBYFLOAT would read '007' and '0x7' too.
  if not string.match(held, '^-?%d[%d.eE+-]*$') or string.match(held, '^-?0%d') then
    return {3}
  end
  local sum = (tonumber(held) or 0/0) + (tonumber(by) or 0/0)
  if sum - sum ~= 0 or math.abs(tonumber(string.format('%.17f', sum)) - sum) > math.abs(sum) * 2^-52 then
    return {3}
  end
  if not value then
    redis.call('HSET', key, field, held)
  end
  return {1, redis.call('HINCRBYFLOAT', key, field, by)}
end
if #held > 15 or #by > 15 or not (held == '0' or string.match(held, '^-?[1-9]%d*$')) then
  return {3}
end
local sum = tonumber(held) + tonumber(by)
for i = 6, #ARGV, 2 do
  local bound = tonumber(ARGV[i + 1])
  if (ARGV[i] == 'ge' and sum < bound) or (ARGV[i] == 'gt' and sum <= bound)
      or (ARGV[i] == 'le' and sum > bound) or (ARGV[i] == 'lt' and sum >= bound) then
    return {2, held}
  end
end
if value then
  redis.call('HINCRBY', key, field, by)
else
  redis.call('HSET', key, field, string.format('%.0f', sum))
end
return {1, string.format('%.0f', sum)}
