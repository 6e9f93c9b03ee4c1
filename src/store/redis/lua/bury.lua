-- Puts a tombstone in a session's place, which stands until the unix second `ends` and, where nobody sweeps, `grace`
-- milliseconds longer. Goes before the scripts that end sessions; they have the same keys.
local function bury(id, ends, grace)
  local time = redis.call('TIME')
  local left = math.max(tonumber(ends) - tonumber(time[1]), 0) * 1000
  local ttl = math.min(left, 1e12) + tonumber(grace)
  -- A key that is gone may not be written to again while its slot is being moved, so it is never gone.
  redis.call('HSET', KEYS[1], 'until', ends)
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if field ~= 'until' then redis.call('HDEL', KEYS[1], field) end
  end
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl))
  if not KEYS[2] then return end
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZADD', KEYS[3], ends, id)
  if redis.call('PTTL', KEYS[3]) < ttl then
    redis.call('PEXPIRE', KEYS[3], string.format('%.0f', ttl))
  end
end
