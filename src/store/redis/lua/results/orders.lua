-- The orders after one. KEYS: orders, tags. ARGV: that one. The last, up to which all is forgotten, tags and orders in turn.
local held = redis.call('HMGET', KEYS[1], 'last', 'floor')
local last = tonumber(held[1] or 0)
local tags = {}
if last > tonumber(ARGV[1]) then tags = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES') end
return {last, tonumber(held[2] or 0), tags}
