-- Asks for the right to move a session. KEYS: session. ARGV: expected epoch, mover, how long (ms). Goes by the server's
-- own clock, so that those of the instances need not agree.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'backend', 'backend_session', 'mover', 'mover_until')
if not held[1] then return {'gone'} end
if held[1] ~= ARGV[1] then return {'moved', held[1], held[2], held[3]} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if held[4] and held[4] ~= ARGV[2] and tonumber(held[5]) > now then return {'theirs'} end
redis.call('HSET', KEYS[1], 'mover', ARGV[2], 'mover_until', string.format('%.0f', now + tonumber(ARGV[3])))
return {'yours'}
