-- Store an object whole in place of whatever the key holds: its other fields and its TTL go.
-- KEYS[1]  the object        ARGV  field, value, field, value, ...
-- Reply    1
-- Keeps    no reader sees a mixture of the old object and the new one
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
