-- Looks for a result, and takes the right to make the call if there is no fresh one. KEYS: result, right. ARGV: now (ms), right,
-- how long it lasts (ms), the newest order that results must know more than, or -1.
local value = redis.call('GET', KEYS[1])
-- Of another version, or of somebody else's making: as good as none.
if value and (#value < 49 or string.sub(value, 1, 3) ~= 'mr\1') then value = false end
if value then
  local ends, order = struct.unpack('>I8I8', value, 5)
  if order <= tonumber(ARGV[4]) then
    value = false
  elseif ends > tonumber(ARGV[1]) then
    return {'here', value}
  end
end
local held = redis.call('GET', KEYS[2])
if held == 'void' then return {'void'} end
if held and held ~= ARGV[2] then return {'theirs', value} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {'yours', value}
