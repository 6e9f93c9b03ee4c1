-- Enters orders, each unless a later one stands. KEYS: orders. ARGV: how many are kept, channel, notice; then for each order
-- its matter, when it was given (ms), or + and what it is given after if it is given now, and what it says. For each when
-- that counts which stands now, or -1 where there is no room.
local key, most, channel, answer, changed = KEYS[1], tonumber(ARGV[1]), ARGV[2], {}, false
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local digits = function(number) return string.format('%.0f', number) end
-- The oldest withdrawal makes room.
local function has_room()
  if redis.call('HLEN', key) - redis.call('HEXISTS', key, 'version') < most then return true end
  local held, oldest, age = redis.call('HGETALL', key), nil, nil
  for n = 1, #held, 2 do
    local at = tonumber(held[n + 1]:match('^(%d+) serve '))
    if at and (not age or at < age) then oldest, age = held[n], at end
  end
  return oldest and redis.call('HDEL', key, oldest) == 1
end
for n = 4, #ARGV, 3 do
  local held = redis.call('HGET', key, ARGV[n])
  local last = held and tonumber(held:match('^%d+')) or 0
  local after = ARGV[n + 1]:match('^%+(%d+)')
  local at = after and math.max(now, last + 1, after + 1) or tonumber(ARGV[n + 1])
  if at <= last then
    at = last
  elseif held or has_room() then
    redis.call('HSET', key, ARGV[n], digits(at) .. ' ' .. ARGV[n + 2])
    changed = true
  else
    at = -1
  end
  answer[#answer + 1] = at
end
if changed then
  local version = tonumber(redis.call('HGET', key, 'version') or 0)
  redis.call('HSET', key, 'version', digits(math.max(now, version + 1)))
  redis.call('PUBLISH', channel, ARGV[3])
end
return answer
