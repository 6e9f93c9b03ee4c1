-- Edits the journal. KEYS: session. ARGV: kind, then what that kind takes. 0: gone, 1: done, 2: too many subscriptions.
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then return 0 end
local kind = ARGV[1]
if kind == 'set' then -- field, value
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
elseif kind == 'result' then -- result[, protocol version]
  redis.call('HSET', KEYS[1], 'result', ARGV[2])
  if ARGV[3] then
    redis.call('HSET', KEYS[1], 'protocol_version', ARGV[3])
  else
    redis.call('HDEL', KEYS[1], 'protocol_version')
  end
elseif kind == 'subscribe' then -- field, the most there may be
  if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return 1 end
  local count = tonumber(redis.call('HGET', KEYS[1], 'subscriptions') or '0')
  if count >= tonumber(ARGV[3]) then return 2 end
  redis.call('HSET', KEYS[1], ARGV[2], '', 'subscriptions', count + 1)
elseif kind == 'unsubscribe' then -- field
  if redis.call('HDEL', KEYS[1], ARGV[2]) == 1 then
    redis.call('HINCRBY', KEYS[1], 'subscriptions', -1)
  end
else
  return redis.error_reply('ERR unknown kind of edit')
end
return 1
