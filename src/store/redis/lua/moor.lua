-- Swaps the berth. KEYS: session. ARGV: expected epoch, epoch, backend, backend_session, channel, notice.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'backend', 'backend_session')
if not held[1] then return {'gone'} end
if held[1] ~= ARGV[1] then return {'lost', held[1], held[2], held[3]} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'backend', ARGV[3], 'backend_session', ARGV[4])
redis.call('HDEL', KEYS[1], 'mover', 'mover_until')
redis.call('PUBLISH', ARGV[5], ARGV[6])
return {'done'}
