-- Adds a key to the ring and drops the oldest beyond the bound. KEYS: ring. ARGV: id, key, bound, channel, notice. Ids and
-- times are padded with zeros, so that they compare as text.
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then
  while redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) do
    local ring, oldest, age = redis.call('HGETALL', KEYS[1]), nil, nil
    for n = 1, #ring, 2 do
      local made = ring[n + 1]:match('^%d+') .. ring[n]
      if not age or made < age then oldest, age = ring[n], made end
    end
    redis.call('HDEL', KEYS[1], oldest)
  end
  redis.call('PUBLISH', ARGV[4], ARGV[5])
end
return redis.call('HGETALL', KEYS[1])
