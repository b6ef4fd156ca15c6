-- Write fields of an object that exists.
-- KEYS[1]  the object        ARGV  field, value, field, value, ...
-- Reply    1 written, 0 there is no such object
-- Keeps    a write never brings a deleted object back as a torso
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
