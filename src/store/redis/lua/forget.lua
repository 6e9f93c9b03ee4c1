-- Drops a tombstone whose time is past. KEYS: session[, graves]. ARGV: id, now (s).
local ends = redis.call('HGET', KEYS[1], 'until')
if ends and tonumber(ends) > tonumber(ARGV[2]) then
  if KEYS[2] then redis.call('ZADD', KEYS[2], ends, ARGV[1]) end
  return 0
end
if ends then redis.call('DEL', KEYS[1]) end
if KEYS[2] then redis.call('ZREM', KEYS[2], ARGV[1]) end
return 1
