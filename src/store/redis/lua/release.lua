-- Gives the right to move a session back. KEYS: session. ARGV: mover.
if redis.call('HGET', KEYS[1], 'mover') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'mover', 'mover_until')
end
return 1
