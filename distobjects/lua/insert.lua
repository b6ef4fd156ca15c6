-- Store a new object, or leave an existing one as it is.
-- KEYS[1]  the object        ARGV  field, value, field, value, ...
-- Reply    1 stored, 0 something is already there
-- Keeps    an object appears whole, and only where nothing was
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
