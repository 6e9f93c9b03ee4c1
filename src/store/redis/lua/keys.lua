-- The ring of sealing keys; the key that is offered becomes the first where there is none. KEYS: ring. ARGV: id, key.
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return redis.call('HGETALL', KEYS[1])
