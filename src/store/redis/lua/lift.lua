-- Lifts a block. KEYS: counter. ARGV: measure. Whether there was one.
local key = KEYS[1]
if ARGV[1] == 'c' then
  local ends = tonumber(redis.call('ZSCORE', key, 'hold') or 0)
  redis.call('ZREM', key, 'hold')
  return ends > now and 1 or 0
end
local form, ends = (redis.call('GET', key) or ''):match('^([^;]*);(%d+)')
if not form then return 0 end
if form == '' then
  redis.call('DEL', key)
else
  redis.call('SET', key, form, 'KEEPTTL')
end
return tonumber(ends) > now and 1 or 0
