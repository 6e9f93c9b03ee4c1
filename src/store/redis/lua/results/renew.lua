-- Holds a right for longer. KEYS: right. ARGV: right, how long (ms).
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
