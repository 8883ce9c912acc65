-- Shared by the scripts about presence; KEYS[1..4] are shard, stream, nodes, index.
local shard, stream, nodes, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix = string.sub(shard, 1, -6)         -- Without "shard". What is built from it has the same hash tag.
local time = redis.call('TIME')
local now_s = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function say(entries, sign, room, client)
  local g = redis.call('HGET', shard, 'g') or string.format('%x', math.floor(now_s * 1000000))
  local c = redis.call('HINCRBY', shard, 'c', 1)
  local id = redis.call('XADD', stream, 'MAXLEN', '~', entries, '*', 'm',
    sign .. ' ' .. c .. ' ' .. g .. ' ' .. room .. ' ' .. client)
  redis.call('HSET', shard, 'g', g, 'l', id)
end

local function add(entries, here, room, client, change)
  local total = redis.call('HINCRBY', here, client, change)
  if total <= 0 then
    redis.call('HDEL', here, client)
    if total - change > 0 then
      say(entries, '-', room, client)
    end
  elseif total == change then
    redis.call('SADD', index, room)
    say(entries, '+', room, client)
  end
end

-- Take out what nodes left behind whose lease has run out; at most `most` clients a call, so that no call is long.
local function reap(entries, most)
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', now_s, 'LIMIT', 0, 1)) do
    local of = prefix .. 'of:' .. node
    local left = redis.call('HRANDFIELD', of, most, 'WITHVALUES')
    for i = 1, #left, 2 do
      local field = left[i]
      if type(field) == 'table' then
        field = field[1]
      end
      local room, client = string.match(field, '^(.-) (.*)$')
      add(entries, prefix .. 'here:' .. room, room, client, -tonumber(left[i + 1]))
      redis.call('HDEL', of, field)
    end
    if redis.call('EXISTS', of) == 0 then
      redis.call('ZREM', nodes, node)
    end
  end
end
