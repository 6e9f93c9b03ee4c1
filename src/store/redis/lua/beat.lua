-- Says that an instance is there. KEYS: instances. ARGV: which, for how long that counts (ms). Answers now, and how many.
local key = KEYS[1]
redis.call('ZADD', key, digits(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. digits(now - ARGV[2] * 1000))
redis.call('PEXPIRE', key, ARGV[2])
return {now, redis.call('ZCARD', key)}
