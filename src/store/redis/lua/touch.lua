-- Notes when sessions of one bucket were last seen. KEYS: sessions[, seen]. ARGV: how many, ttl (ms), then id, time and
-- epoch of each. Answers which (counted from 1) are not as believed, and what they are.
local count, seen, news = tonumber(ARGV[1]), KEYS[tonumber(ARGV[1]) + 1], {}
for n = 1, count do
  local id, at, epoch = ARGV[3 * n], ARGV[3 * n + 1], ARGV[3 * n + 2]
  local held = redis.call('HMGET', KEYS[n], 'epoch', 'last_seen', 'until')
  if held[1] then
    if tonumber(at) > tonumber(held[2]) then
      redis.call('HSET', KEYS[n], 'last_seen', at)
      if seen then redis.call('ZADD', seen, at, id) end
    end
    if tonumber(held[1]) > tonumber(epoch) then
      news[#news + 1] = n
      news[#news + 1] = 'moved'
    end
  else
    news[#news + 1] = n
    news[#news + 1] = held[3] and 'ended' or 'unknown'
  end
end
if seen then redis.call('PEXPIRE', seen, ARGV[2]) end
return news
