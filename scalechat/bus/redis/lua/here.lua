-- Who is in a room, or how many.
-- KEYS  shard, stream, nodes, index, here
-- ARGV  stream entries, 1 = the list
-- reply client, connections, client, connections… or the number of clients
reap(ARGV[1], 500)
if ARGV[2] == '1' then
  return redis.call('HGETALL', KEYS[5])
end
return redis.call('HLEN', KEYS[5])
