-- Makes all charges; or none, and begins a block where the refusing budget has one.
for n, c in ipairs(counters) do
  local key = KEYS[n]
  if refused then
    if n == refused and c.ends <= now and c.first > 0 then
      c.strikes = now < c.ends + length(c) and math.min(c.strikes + 1, 255) or 1
      c.ends = now + length(c)
      write(key, c)
    end
  elseif c.measure == 'c' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', digits(now))
    redis.call('ZADD', key, digits(now + ARGV[3] * 1000), ARGV[2])
    redis.call('PEXPIRE', key, ARGV[3])
    c.used = c.used + 1
  else
    charge(key, c)
  end
end
return answer()
