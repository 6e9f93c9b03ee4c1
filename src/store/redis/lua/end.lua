-- Ends a session. KEYS: session[, seen, graves]. ARGV: id, until, grace (ms), channel, notice. The record as it was, to one.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'until')
if held[2] and tonumber(held[2]) >= tonumber(ARGV[2]) then return {} end
local was = {}
if held[1] then was = redis.call('HGETALL', KEYS[1]) end
bury(ARGV[1], ARGV[2], ARGV[3])
if not held[2] then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return was
