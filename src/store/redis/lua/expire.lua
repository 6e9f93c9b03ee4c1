-- Ends a session if it was last seen at `cutoff` or before. KEYS: session[, seen, graves]. ARGV: id, cutoff, lifetime (s),
-- grace (ms), channel, notice. The record as it was, to one.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'last_seen', 'created')
if not held[1] then
  if KEYS[2] then redis.call('ZREM', KEYS[2], ARGV[1]) end
  return {}
end
if tonumber(held[2]) > tonumber(ARGV[2]) then
  if KEYS[2] then redis.call('ZADD', KEYS[2], held[2], ARGV[1]) end
  return {}
end
local was = redis.call('HGETALL', KEYS[1])
bury(ARGV[1], string.format('%.0f', tonumber(held[3]) + tonumber(ARGV[3])), ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return was
