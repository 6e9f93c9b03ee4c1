-- How far the store has got with orders, and all of them unless the caller knows that. KEYS: orders. ARGV: what the caller
-- knows, if anything.
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if version == ARGV[1] then return {version} end
return {version, redis.call('HGETALL', KEYS[1])}
