"""``--rendezvous``: a run of several instances, in containers or on machines that meet through Redis.

Instance 0 coordinates, plays its share in a process of its own, and gets the run directory; the others play theirs and
ship what they measured.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import trio
from coredis import Redis
from coredis.exceptions import AuthenticationError, RedisError
from coredis.retry import NoRetryPolicy

from scalechat.config import LoadConfig, OperationalError, ScaleChatError
from scalechat.load.conclusion import RunOutcome
from scalechat.load.ending import Interruption
from scalechat.load.failures import leaves, told_in
from scalechat.load.fleet.channel import Gone
from scalechat.load.fleet.coordinator import Coordinator, Peer, boot_id
from scalechat.load.fleet.messages import Bye, CalledOff, Hello, encode
from scalechat.load.fleet.places import Place, Places
from scalechat.load.fleet.processes import started
from scalechat.load.fleet.redis_channel import ANSWER_S, RedisChannel
from scalechat.load.fleet.settings import settings_of
from scalechat.load.fleet.worker import Worker
from scalechat.load.live import Audience
from scalechat.load.own_part import this_worker
from scalechat.load.pacing import NowNs, monotonic_ns
from scalechat.load.plan import Share
from scalechat.load.results import RunWriter
from scalechat.load.setting_out import assign, unless_asked
from scalechat.values import redact_url


async def meet(
    config: LoadConfig,
    sources: Mapping[str, str],
    watcher: Audience,
    interruption: Interruption,
    clock: NowNs = monotonic_ns,
) -> RunOutcome | Bye:
    """Take part in a run; the outcome for instance 0, for the others the last word of instance 0.

    Raises:
        UsageError: the place is taken, or the instances were started differently.
        OperationalError: Redis cannot be reached, or somebody did not come.
    """
    assert config.rendezvous is not None
    redis = _client(config.rendezvous)
    try:
        async with redis:
            return await _Meeting(config, sources, watcher, interruption, clock, redis).attend()
    except (RedisError, OSError, ExceptionGroup) as error:
        if (told := told_in(error)) is not None:
            raise told from None
        if all(isinstance(leaf, RedisError | OSError) for leaf in leaves(error)):
            raise OperationalError(no_redis(config.rendezvous, next(leaves(error)))) from error
        raise


def no_redis(url: str, error: BaseException) -> str:
    """One line about it."""
    if isinstance(error, AuthenticationError):
        asked = f"does not accept the user name or password ({str(error).rstrip('.')})"
        why = asked if urlsplit(url).password else "asks for a password (redis://:PASSWORD@…)"
        return f"the Redis at {redact_url(url)} {why}: check --rendezvous"
    cause = error
    while cause.__cause__ is not None:  # What the system said, not what was made of it on the way up.
        cause = next(leaves(cause.__cause__))
    why = str(cause)
    if isinstance(cause, OSError) and cause.errno:  # Those of name resolution are below zero.
        why = os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
    return f"no Redis at {redact_url(url)} ({why}): check --rendezvous"


def _client(url: str) -> Redis[bytes]:
    """Commands only, none of them blocking, see `redis_channel`."""
    return Redis.from_url(
        url, retry_policy=NoRetryPolicy(), stream_timeout=ANSWER_S, connect_timeout=ANSWER_S, max_connections=8
    )


class _Meeting:
    """One instance at one meeting."""

    def __init__(
        self,
        config: LoadConfig,
        sources: Mapping[str, str],
        watcher: Audience,
        interruption: Interruption,
        clock: NowNs,
        redis: Redis[bytes],
    ) -> None:
        assert config.expected_instances is not None
        self._config = config
        self._sources = sources
        self._watcher = watcher
        self._interruption = interruption
        self._clock = clock
        self._redis = redis
        self._places = Places(redis, config.rendezvous_key, config.expected_instances)

    async def attend(self) -> RunOutcome | Bye:
        place = await self._places.claim(self._config.instance)
        keys: Sequence[str] = ()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._places.hold, place)
                if place.index == 0:
                    result: RunOutcome | Bye = await self._coordinate(place)
                else:
                    channel = RedisChannel(self._redis, *self._places.ways(place))
                    result = await self._work(place, channel)
                    keys = channel.keys  # After a failure they are left to expire: the last word is still to be read.
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(ANSWER_S, shield=True):
                await self._places.leave(place, keys)
        return result

    async def _coordinate(self, place: Place) -> RunOutcome:
        config, count = self._config, self._config.expected_instances
        assert count is not None
        self._watcher.begin(config)
        self._watcher.wait("waiting for the other instances")
        self._watcher.note(f"instance 0 of {count}: waiting for the others")
        try:
            todo = await assign(config, self._sources, self._interruption, share=Share(0, count))
            async with unless_asked(self._interruption):
                others = await self._places.find_others(place, timeout_s=config.rendezvous_timeout_s)
            run = RunWriter.create(config.out)
        except (ScaleChatError, ExceptionGroup) as error:
            await self._call_off(place, error)
            raise
        with run as writer:
            async with started(1) as own:
                peers = [*own, *(_peer(other, self._channel_to(other)) for other in others)]
                return await Coordinator(
                    todo, writer, peers, self._watcher, self._interruption, self._clock
                ).carry_out()

    async def _call_off(self, place: Place, error: Exception) -> None:
        """Those who have come so far would wait for us."""
        if (told := told_in(error)) is None:
            return
        with trio.move_on_after(ANSWER_S, shield=True), suppress(RedisError, OSError, Gone):
            for other in await self._places.present(place):
                await self._channel_to(other).send(encode(CalledOff(str(told), told.exit_code)))

    def _channel_to(self, other: Place) -> RedisChannel:
        return RedisChannel(self._redis, *reversed(self._places.ways(other)))

    async def _work(self, place: Place, channel: RedisChannel) -> Bye:
        config = self._config
        self._watcher.note(f"instance {place.index} of {config.expected_instances}: instance 0 shows the run")
        if config.metrics_port is not None:
            self._watcher.note("instance 0 serves the metrics of all: nothing listens to --metrics-port here")
        worker = Worker(channel, own=(config, self._sources), interruption=self._interruption, clock=self._clock)
        hello = Hello(this_worker(place.index), boot_id(), settings_of(config))
        return await worker.work(hello, orders_s=config.rendezvous_timeout_s)


def _peer(place: Place, channel: RedisChannel) -> Peer:
    # It finds out by itself: nobody answers it any more.
    return Peer(channel, is_ours=False, name=f"instance {place.index}", abandon=lambda: None)
