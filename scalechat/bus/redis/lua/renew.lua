-- A new generation, when the shard may have lost entries: every epoch in it is another from here on.
-- KEYS  shard, stream
-- ARGV  fresh, generation and number of the newest entry that we know of ('' 0 = none), 1 = whatever they say
-- reply generation
local shard, stream, fresh = KEYS[1], KEYS[2], ARGV[1]
local meta = redis.call('HMGET', shard, 'g', 'c')
local g, c = meta[1], tonumber(meta[2] or 0)
if g and (ARGV[4] == '1' or (g == ARGV[2] and c < tonumber(ARGV[3]))) then
  g = fresh
  local id = redis.call('XADD', stream, '*', 'm', 'g ' .. c + 1 .. ' ' .. g)
  redis.call('HSET', shard, 'g', g, 'c', c + 1, 'l', id)
end
return g or ''
