-- Says that slots are still taken, by whoever took them. KEYS: slots. ARGV: lease (ms), then who.
local key, falls, taken = KEYS[1], digits(now + ARGV[1] * 1000), {}
for n = 2, #ARGV do
  taken[2 * n - 3], taken[2 * n - 2] = falls, ARGV[n]
end
redis.call('ZREMRANGEBYSCORE', key, '-inf', digits(now))
redis.call('ZADD', key, unpack(taken))
redis.call('PEXPIRE', key, digits(math.max(redis.call('PTTL', key), tonumber(ARGV[1]))))
return 1
