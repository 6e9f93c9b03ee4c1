-- How counters are read, weighed and written; goes before the scripts that do so. Times are in microseconds. All numbers are
-- whole and below 2^53, so that doubles hold them exactly.
-- A rate's counter is a text: a letter for its measure and its numbers (`g`: when all will be refilled, and the part of a
-- microsecond on top, in units of 1/count; `f` and `s`: the window's start and what was spent in it, `s` also in the one
-- before), then where it was blocked `;`, until when, and how often in a row. Slots are a sorted set of who has one, by when
-- it falls; `hold` among them is nobody's.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function digits(n) return string.format('%.0f', n) end

-- What a window holds, where it stands now: none where it is of another window.
local function roll(c, first, used, before)
  local start = now - now % c.per
  c.start, c.used, c.before = start, 0, 0
  if first == start or first and first > now then -- the clock was set back
    c.start, c.used, c.before = first, used, before or 0
  elseif first == start - c.per then
    c.before = used
  end
end

-- Reads a rate's counter into `c`, which knows its measure. One of another measure has spent nothing.
local function read(key, c)
  local held = redis.call('GET', key)
  local form, first, second, third, ends, strikes
  if held then form, first, second, third, ends, strikes = held:match('^(%a?)(%d*) ?(%d*) ?(%d*);?(%d*) ?(%d*)$') end
  c.ends, c.strikes = tonumber(ends) or 0, tonumber(strikes) or 0
  c.held = held and true
  if form ~= c.measure then first = nil end
  if c.measure == 'g' then
    c.due, c.part = tonumber(first) or 0, math.min(tonumber(second) or 0, c.count)
  else
    roll(c, tonumber(first), tonumber(second), tonumber(third))
  end
end

-- Reads how many slots are taken and have not fallen.
local function count(key, c)
  c.ends = tonumber(redis.call('ZSCORE', key, 'hold') or 0)
  c.used = redis.call('ZCOUNT', key, '(' .. digits(now), '+inf')
  if c.ends > now then c.used = c.used - 1 end
end

-- Adds to a moment.
local function plus(c, whole, part, more, more_part)
  part = part + more_part
  if part < c.count then return whole + more, part end
  return whole + more + 1, part - c.count
end

-- Whether a moment is after another.
local function after(whole, part, other, other_part)
  return whole > other or whole == other and part > other_part
end

-- How long the block after so many in a row lasts.
local function length(c)
  if c.strikes == 0 then return 0 end
  return math.min(c.first * 2 ^ (c.strikes - 1), c.longest)
end

-- Writes a rate's counter until it says no more than none would. `c` knows the first and the longest block.
local function write(key, c)
  local falls, form = 0, nil
  if c.measure == 'g' then
    falls, form = c.due + (c.part > 0 and 1 or 0), 'g' .. digits(c.due) .. ' ' .. digits(c.part)
  elseif c.measure == 'f' then
    falls = c.used > 0 and c.start + c.per or 0
    form = 'f' .. digits(c.start) .. ' ' .. digits(c.used)
  else
    falls = c.used > 0 and c.start + 2 * c.per or c.before > 0 and c.start + c.per or 0
    form = 's' .. digits(c.start) .. ' ' .. digits(c.used) .. ' ' .. digits(c.before)
  end
  local remembered = c.ends + (c.longest > c.first and length(c) or 0)
  if remembered > now then
    form = form .. ';' .. digits(c.ends) .. ' ' .. c.strikes
    falls = math.max(falls, remembered)
  end
  if falls > now then
    redis.call('SET', key, form, 'PX', digits(math.ceil((falls - now) / 1000)))
  elseif c.held then
    redis.call('DEL', key)
  end
end
