-- Store an object whole in place of whatever the key holds: its other fields and its TTL go.
-- KEYS[1]  the object        ARGV  field, value, field, value, ...
-- Reply    1
-- Keeps    no reader sees a mixture of the old object and the new one
-- After a DEL, even of nothing, a server that is out of memory would let the HSET pass.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
