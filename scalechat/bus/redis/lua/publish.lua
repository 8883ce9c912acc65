-- Give each message its place, or find the place it has. One call, one step: nobody sees half of it.
-- KEYS  shard, stream, index, ids 0 1 2, then (room, log) for each message
-- ARGV  fresh, kept messages, kept seconds, dedupe seconds, room seconds, stream entries, stream seconds,
--       then (name, fingerprint, head, tail) for each message; head and tail are the JSON around position and time
-- reply generation, number of the newest entry, then a position for each message: below 0 when it had one already
local shard, stream, index = KEYS[1], KEYS[2], KEYS[3]
local fresh, kept, kept_s, dedupe_s = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local room_s, entries, stream_s = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now_ms = string.format('%d', now_s * 1000 + math.floor(tonumber(time[2]) / 1000))

local meta = redis.call('HMGET', shard, 'g', 'c', 'b')
local g, c, last = meta[1], tonumber(meta[2] or 0), false
if not g then
  g = fresh
end

-- Three hashes in turn, each for one stretch of time: the current one and the one before are looked into, and the
-- third has expired when its turn comes.
local stretch = math.floor(now_s / dedupe_s)
local ids, before = KEYS[4 + stretch % 3], KEYS[4 + (stretch + 2) % 3]
local turned = meta[3] ~= tostring(stretch)

local reply = {g, 0}
for i = 1, (#KEYS - 6) / 2 do
  local room, log = KEYS[5 + 2 * i], KEYS[6 + 2 * i]
  local name, print, head, tail = ARGV[4 + 4 * i], ARGV[5 + 4 * i], ARGV[6 + 4 * i], ARGV[7 + 4 * i]
  local seen = redis.call('HGET', ids, print) or redis.call('HGET', before, print)
  if seen then
    reply[i + 2] = -tonumber(seen)
  else
    local known = redis.call('HMGET', room, 'e', 'n', 'x')
    local e, n = known[1] or fresh .. i, tonumber(known[2] or 0) + 1
    c = c + 1
    local payload = head .. '"seq":' .. n .. ',"ts":' .. now_ms .. tail
    if not known[3] or now_s - tonumber(known[3]) > 3600 then
      redis.call('HSET', room, 'e', e, 'n', n, 'x', now_s)
      redis.call('EXPIRE', room, room_s)
      redis.call('SADD', index, name)
    else
      redis.call('HSET', room, 'n', n)
    end
    redis.call('HSET', ids, print, n)
    if turned then
      redis.call('EXPIRE', ids, 2 * dedupe_s)
      redis.call('HSET', shard, 'b', stretch)
      turned = false
    end
    if kept > 0 then
      local length = redis.call('RPUSH', log, payload)
      if length > kept then
        redis.call('LTRIM', log, -kept, -1)
      end
      if not known[3] or now_s - tonumber(known[3]) > 3600 or length == 1 then
        redis.call('EXPIRE', log, kept_s + 3600)
      end
    end
    last = redis.call('XADD', stream, 'MAXLEN', '~', entries, '*', 'm',
      'm ' .. c .. ' ' .. g .. ' ' .. e .. ' ' .. name .. ' ' .. payload)
    reply[i + 2] = n
  end
end
if last then
  redis.call('HSET', shard, 'g', g, 'c', c, 'l', last)
  redis.call('XTRIM', stream, 'MINID', '~', string.format('%d', (now_s - stream_s) * 1000))
end
reply[2] = c
return reply
