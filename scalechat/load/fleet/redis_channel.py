"""A channel through Redis: two bounded lists of messages, polled.

Nothing here blocks in Redis and nothing is retried by the library: a blocking read that is cancelled costs coredis a
connection for ever, and a write that is repeated after its answer was lost would arrive twice. Instead each message has
a number, each write and each read is one script that may be run any number of times, and a poll costs a few tens of
microseconds. All keys expire, so that nothing outlives a run that was killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import trio
from coredis import Redis
from coredis.exceptions import RedisError

from scalechat.load.fleet.channel import Gone

POLL_S: Final = 0.02
WAITING_MAX: Final = 16
"""Messages that wait in Redis for one reader; with chunks of 256 kB these are 4 MB."""
TTL_MS: Final = 60_000
"""Far longer than anybody is silent, see `channel.SILENCE_S`."""
AWAY_S: Final = 8.0
"""A Redis that is away for longer has lost us the run: nobody could tell a worker that lives from one that does not.
Shorter than `channel.SILENCE_S`, so that it is Redis that gets the blame."""
ANSWER_S: Final = 2.0

# Whether a message was taken before is what its number says; how far the reader has come likewise.
_PUT: Final = """
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then return 1 end
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
return 1
"""
_TAKE: Final = """
local had = tonumber(redis.call('GET', KEYS[2]) or '0')
if tonumber(ARGV[1]) > had then
  redis.call('LTRIM', KEYS[1], tonumber(ARGV[1]) - had, -1)
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return redis.call('LRANGE', KEYS[1], 0, -1)
"""


class RedisChannel:
    """See `Channel`. `way_out` and `way_in` are keys; the other end has them the other way round."""

    def __init__(self, redis: Redis[bytes], way_out: str, way_in: str) -> None:
        self._redis = redis
        self._out = way_out
        self._in = way_in
        self._sent = 0
        self._taken = 0
        self._received: deque[bytes] = deque()

    @property
    def keys(self) -> Sequence[str]:
        """Everything this channel may leave in Redis."""
        return [key for way in (self._out, self._in) for key in (way, f"{way}:sent", f"{way}:taken")]

    async def send(self, frame: bytes) -> None:
        """See `Channel`."""
        number = self._sent + 1
        keys = [self._out, f"{self._out}:sent"]
        # Another machine has to make room, so there is no event to wait for.
        while not await self._run(_PUT, keys, [number, frame, WAITING_MAX, TTL_MS]):  # noqa: ASYNC110
            await trio.sleep(POLL_S)
        self._sent = number

    async def receive(self) -> bytes:
        """See `Channel`."""
        while not self._received:
            found = await self._run(_TAKE, [self._in, f"{self._in}:taken"], [self._taken, TTL_MS])
            assert isinstance(found, list)
            self._received.extend(found)
            if not found:
                await trio.sleep(POLL_S)
        self._taken += 1
        return self._received.popleft()

    async def _run(self, script: str, keys: Sequence[str], args: Sequence[bytes | int]) -> object:
        """Run a script that may be run again, until Redis answers. Raises `Gone` after `AWAY_S`."""
        with trio.move_on_after(AWAY_S):
            while True:
                try:
                    with trio.fail_after(ANSWER_S):
                        return await self._redis.eval(script, keys, args)
                except (RedisError, OSError, trio.TooSlowError):
                    await trio.sleep(10 * POLL_S)
        raise Gone(f"Redis did not answer for {AWAY_S:g} s")
