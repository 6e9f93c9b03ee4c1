-- Joins what an instance knows of a session with what stands here. KEYS: session[, seen]. ARGV: id, ttl (ms), the most
-- subscriptions, channel, notice, then fields and values, subscriptions last and in order. What stands then; nothing if it
-- has ended.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'last_seen', 'until')
if held[3] then return {} end
local new = {}
for n = 6, #ARGV, 2 do new[ARGV[n]] = ARGV[n + 1] end
local last_seen = new.last_seen
local function take()
  redis.call('HSET', KEYS[1], unpack(ARGV, 6))
  -- Not all at once before: a key that is gone may not be written to again while its slot is being moved.
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not new[field] then redis.call('HDEL', KEYS[1], field) end
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local function join()
  if new.initialized then redis.call('HSET', KEYS[1], 'initialized', new.initialized) end
  if new.log_level then redis.call('HSET', KEYS[1], 'log_level', new.log_level) end
  if redis.call('HEXISTS', KEYS[1], 'result') == 0 then
    for _, field in ipairs({'result', 'protocol_version'}) do
      if new[field] then
        redis.call('HSET', KEYS[1], field, new[field])
      else
        redis.call('HDEL', KEYS[1], field)
      end
    end
  end
  local count = tonumber(redis.call('HGET', KEYS[1], 'subscriptions') or '0')
  for n = 6, #ARGV, 2 do
    if count < tonumber(ARGV[3]) and ARGV[n]:sub(1, 2) == 's:' then
      count = count + redis.call('HSETNX', KEYS[1], ARGV[n], '')
    end
  end
  redis.call('HSET', KEYS[1], 'subscriptions', count)
end
if not held[1] then
  take()
else
  if tonumber(held[2]) > tonumber(last_seen) then last_seen = held[2] end
  local mine, theirs = tonumber(held[1]), tonumber(new.epoch)
  if theirs > mine then
    take()
    redis.call('PUBLISH', ARGV[4], ARGV[5])
  elseif theirs == mine then
    join()
  end
  redis.call('HSET', KEYS[1], 'last_seen', last_seen)
end
if KEYS[2] then
  redis.call('ZADD', KEYS[2], last_seen, ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return redis.call('HGETALL', KEYS[1])
