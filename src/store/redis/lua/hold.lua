-- Refuses a subject for at least so long. KEYS: counter. ARGV: measure, how long, longest block.
local key, lasts = KEYS[1], tonumber(ARGV[2])
local ends, ttl = now + lasts, math.max(redis.call('PTTL', KEYS[1]), 0)
if ARGV[1] == 'c' then
  ends = math.max(ends, tonumber(redis.call('ZSCORE', key, 'hold') or 0))
  redis.call('ZADD', key, digits(ends), 'hold')
  redis.call('PEXPIRE', key, digits(math.max(ttl, math.ceil((ends - now) / 1000))))
  return 1
end
local form, held, strikes = (redis.call('GET', key) or ''):match('^([^;]*);?(%d*) ?(%d*)$')
ends, strikes = math.max(ends, tonumber(held) or 0), tonumber(strikes) or 0
-- The last block is remembered for as long as it lasted, and that is no longer than the longest.
ttl = math.max(ttl, math.ceil((ends - now + (strikes > 0 and tonumber(ARGV[3]) or 0)) / 1000))
redis.call('SET', key, (form or '') .. ';' .. digits(ends) .. ' ' .. digits(strikes), 'PX', digits(ttl))
return 1
