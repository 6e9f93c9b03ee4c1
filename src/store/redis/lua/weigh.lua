-- Weighs charges. KEYS: a counter for each. ARGV: the charges, slot, lease (ms). A charge is eight doubles: its measure (its
-- place in `measures`); for `g` count, cost and capacity as times (two numbers each), for `f` and `s` cost, the most, length,
-- for `c` cost and the most; at the end the first and the longest block. Finds who refuses, by rate before by slots.
local measures, counters, refused, full = {'c', 'g', 'f', 's'}, {}, nil, nil

local function admits(c)
  if c.ends > now then return false end
  if c.measure == 'g' then
    local most, most_part = plus(c, now, 0, c.most, c.most_part)
    return not after(c.next, c.next_part, most, most_part)
  end
  local left = c.most - c.used - c.cost
  if c.measure ~= 's' or left < 0 then return left >= 0 end
  local step = math.floor(math.max(now - c.start, 0) / math.floor(c.per / 1000))
  return c.before * (1000 - math.min(step, 1000)) <= left * 1000
end

for n = 1, #KEYS do
  local measure, one, two, three, four, five, first, longest = struct.unpack('<dddddddd', ARGV[1], 64 * n - 63)
  local c = {measure = measures[measure], first = first, longest = longest}
  if c.measure == 'g' then
    c.count, c.cost, c.cost_part, c.most, c.most_part = one, two, three, four, five
    read(KEYS[n], c)
    local due, part = now, 0
    if c.due >= now then due, part = c.due, c.part end
    c.next, c.next_part = plus(c, due, part, c.cost, c.cost_part)
  else
    c.cost, c.most, c.per = one, two, three
    if c.measure == 'c' then count(KEYS[n], c) else read(KEYS[n], c) end
  end
  if not admits(c) then
    if c.measure == 'c' then full = full or n else refused = refused or n end
  end
  counters[n] = c
end
refused = refused or full

-- Makes the charge of a rate.
local function charge(key, c)
  if c.measure == 'g' then
    c.due, c.part = c.next, c.next_part
  else
    c.used = c.used + c.cost
  end
  write(key, c)
end

-- Doubles: now, who refuses (from 1; 0 for nobody), and of each counter two numbers and until when it is blocked.
local function answer()
  local told = {now, refused or 0}
  for n, c in ipairs(counters) do
    told[3 * n], told[3 * n + 1], told[3 * n + 2] = c.due or c.used, c.part or c.before or 0, c.ends
  end
  return struct.pack('<' .. ('d'):rep(#told), unpack(told))
end
