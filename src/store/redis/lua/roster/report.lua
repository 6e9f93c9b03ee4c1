-- Writes an instance's card, and answers now and all that are there. KEYS: cards. ARGV: which, how long it counts (ms), its
-- card, how many are kept.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local digits = function(number) return string.format('%.0f', number) end
redis.call('HSET', KEYS[1], ARGV[1], digits(now) .. ' ' .. digits(now + ARGV[2]) .. ' ' .. ARGV[3])
local held, there, gone, last = redis.call('HGETALL', KEYS[1]), {}, {}, now
for n = 1, #held, 2 do
  local written, ends = held[n + 1]:match('^(%d+) (%d+) ')
  if not ends or tonumber(ends) <= now then
    gone[#gone + 1] = held[n]
  else
    there[#there + 1] = {held[n], held[n + 1], held[n] == ARGV[1] and now + 1 or tonumber(written)}
    last = math.max(last, tonumber(ends))
  end
end
local most = tonumber(ARGV[4])
if #there > most then table.sort(there, function(one, other) return one[3] > other[3] end) end
local answer = {now}
for n, card in ipairs(there) do
  if n > most then
    gone[#gone + 1] = card[1]
  else
    answer[#answer + 1] = card[1]
    answer[#answer + 1] = card[2]
  end
end
for _, id in ipairs(gone) do redis.call('HDEL', KEYS[1], id) end
redis.call('PEXPIRE', KEYS[1], digits(last - now))
return answer
