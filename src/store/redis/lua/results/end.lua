-- Gives a right back, and may leave a mark that there is no result. KEYS: right. ARGV: right, mark or nothing, how long that
-- stands (ms), channel, news.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[4], ARGV[5])
