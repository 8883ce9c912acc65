-- One node says how many connections clients have on it now: absolute numbers, so saying it again changes nothing.
-- KEYS  shard, stream, nodes, index, of this node, then here for each statement
-- ARGV  stream entries, node, lease seconds, then (room, client, connections) for each statement
-- reply 1 when the node's lease was running, 0 when what it said before is gone or may go
local of, entries, node = KEYS[5], ARGV[1], ARGV[2]
local leased = redis.call('ZSCORE', nodes, node) and 1 or 0
redis.call('ZADD', nodes, now_s + tonumber(ARGV[3]), node)
for i = 1, #KEYS - 5 do
  local room, client, count = ARGV[1 + 3 * i], ARGV[2 + 3 * i], tonumber(ARGV[3 + 3 * i])
  local field = room .. ' ' .. client
  local change = count - tonumber(redis.call('HGET', of, field) or 0)
  if change ~= 0 then
    if count == 0 then
      redis.call('HDEL', of, field)
    else
      redis.call('HSET', of, field, count)
    end
    add(entries, KEYS[5 + i], room, client, change)
  end
end
reap(entries, 500)
return leased
