-- A stretch of a room's log, and where the room and its shard stand at this moment.
-- KEYS  shard, room, log
-- ARGV  fresh ('' = do not make a room that is not there), room seconds, kept seconds,
--       before (0 = from the newest), limit, epoch and position that are known already ('' 0 = none)
-- reply generation, number and id of the shard's newest entry, epoch ('' = no such room), position, payloads
local shard, room, log = KEYS[1], KEYS[2], KEYS[3]
local fresh, room_s, kept_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
local before, limit, known, after = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local meta = redis.call('HMGET', shard, 'g', 'c', 'l')
local state = redis.call('HMGET', room, 'e', 'n')
local g, e, n = meta[1], state[1], tonumber(state[2] or 0)
if fresh ~= '' then
  if not g then
    g = fresh
    redis.call('HSET', shard, 'g', g)
  end
  if not e then
    e = fresh
    redis.call('HSET', room, 'e', e, 'n', 0)
    redis.call('EXPIRE', room, room_s)
  end
end
if not e then
  return {g or '', 0, '0-0', '', 0, {}}
end
local length = redis.call('LLEN', log)
local above = n - length                      -- The log holds the positions above this one, up to n.
local stop = length                           -- Counted from 1; the payload at `length` has position n.
if before > 0 and before <= n then
  stop = before - 1 - above
end
local start = stop - limit + 1
if known == g .. e and after >= above and after <= n then
  start = after - above + 1                   -- All that is new to who asks.
end
if start < 1 then
  start = 1
end
local payloads = {}
if stop >= start then
  payloads = redis.call('LRANGE', log, start - 1, stop - 1)
  local oldest_ms = (tonumber(redis.call('TIME')[1]) - kept_s) * 1000
  local old = 0
  for _, payload in ipairs(payloads) do         -- A raw quote ends any string of JSON, so this is no part of a text.
    if tonumber(string.match(payload, ',"seq":%d+,"ts":(%d+)')) >= oldest_ms then
      break
    end
    old = old + 1
  end
  if old > 0 then
    redis.call('LTRIM', log, start - 1 + old, -1)
    local left = {}
    for i = old + 1, #payloads do
      left[i - old] = payloads[i]
    end
    payloads = left
  end
end
return {g, tonumber(meta[2] or 0), meta[3] or '0-0', g .. e, n, payloads}
