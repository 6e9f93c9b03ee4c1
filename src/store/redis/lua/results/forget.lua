-- Numbers an order to forget and enters it. KEYS: orders, tags. ARGV: the newest order that the caller knows, 1 for all there
-- is, how many tags are remembered, channel, the tags. The order before, this one, and up to which all is forgotten.
local held = redis.call('HMGET', KEYS[1], 'last', 'floor')
local last, floor, known = tonumber(held[1] or 0), tonumber(held[2] or 0), tonumber(ARGV[1])
local time = redis.call('TIME')
local order = math.max(last + 1, known + 1, time[1] * 1000 + math.floor(time[2] / 1000))
local digits = function(number) return string.format('%.0f', number) end
if ARGV[2] == '1' or last < known then
  floor = order
  redis.call('DEL', KEYS[2])
else
  for n = 5, #ARGV do redis.call('ZADD', KEYS[2], digits(order), ARGV[n]) end
  local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
  if over > 0 then
    floor = math.max(floor, tonumber(redis.call('ZRANGE', KEYS[2], over - 1, over - 1, 'WITHSCORES')[2]))
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
  end
end
redis.call('HSET', KEYS[1], 'last', digits(order), 'floor', digits(floor))
local news = {'forgotten', digits(last), digits(order), digits(floor)}
for n = 5, #ARGV do news[n] = ARGV[n] end
redis.call('PUBLISH', ARGV[4], table.concat(news, ' '))
return {last, order, floor}
