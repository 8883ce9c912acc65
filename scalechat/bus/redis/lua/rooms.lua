-- Some of the shard's rooms, and where to go on.
-- KEYS  shard, stream, nodes, index
-- ARGV  stream entries, cursor, how many at a time
-- reply next cursor ('0' = that was all), then name, position, clients of each
reap(ARGV[1], 500)
local scan = redis.call('SSCAN', index, ARGV[2], 'COUNT', ARGV[3])
local reply = {scan[1]}
for _, name in ipairs(scan[2]) do
  local n = tonumber(redis.call('HGET', prefix .. 'room:' .. name, 'n') or 0)
  local clients = redis.call('HLEN', prefix .. 'here:' .. name)
  if n == 0 and clients == 0 then
    redis.call('SREM', index, name)
  else
    reply[#reply + 1] = name
    reply[#reply + 1] = n
    reply[#reply + 1] = clients
  end
end
return reply
