-- Adds to a rate's counter, or takes from it, without a question. KEYS: counter. ARGV: measure, first and longest block; for
-- `g` count, then times of two numbers each: what is added, what is taken away, the most that can be owed, and when all
-- would be refilled if there had been this charge alone; for `f` and `s` length, what is added, what is taken away, the most
-- that can be spent, when it was charged, and what would have been spent if there had been this charge alone.
local key, c, n = KEYS[1], {measure = ARGV[1]}, {}
for at = 2, #ARGV do n[at] = tonumber(ARGV[at]) end
c.first, c.longest = n[2], n[3]
if c.measure == 'g' then
  c.count = n[4]
  read(key, c)
  if not c.held then c.due, c.part = n[11], n[12] end
  c.due, c.part = plus(c, c.due, c.part, n[5], n[6])
  if after(n[7], n[8], c.due, c.part) then
    c.due, c.part = 0, 0
  else
    c.due, c.part = plus(c, c.due - n[7] - 1, c.part, 0, c.count - n[8])
  end
  local most, most_part = plus(c, now, 0, n[9], n[10])
  if after(c.due, c.part, most, most_part) then c.due, c.part = most, most_part end
else
  c.per = n[4]
  read(key, c)
  local function settled(held)
    if not c.held then held = n[9] end
    return math.min(math.max(held + n[5] - n[6], 0), n[7])
  end
  local start = n[8] - n[8] % c.per
  if start == c.start then
    c.used = settled(c.used)
  elseif c.measure == 's' and start == c.start - c.per then
    c.before = settled(c.before)
  end
end
write(key, c)
return 1
