"""Redis dies, stops, forgets, fills up or cuts a connection: nothing acknowledged is lost, doubled or hidden."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from scalechat.bus.base import Bus, BusError, Event, LogReset, PresenceChange, Receipt
from scalechat.bus.redis.address import parse_address
from scalechat.bus.redis.bus import RedisBus
from scalechat.bus.redis.keys import shard_of
from scalechat.bus.redis.scripts import PUBLISH
from scalechat.wire.messages import Publication
from tests.bus.opening import HISTORY, KEEPING, OpenBus, open_redis_node
from tests.bus.redis.proxy import Proxy, open_proxy
from tests.bus.redis_server import RedisServer, redis_server
from tests.patience import wait_until

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def own_redis(redis_binary: str) -> Iterator[Callable[..., RedisServer]]:
    """A Redis that this test may ruin, with its options."""
    with redis_server(redis_binary) as server:

        def with_options(*options: str) -> RedisServer:
            server.kill()
            server.options = options
            server.start()
            return server

        yield with_options


def heard(node: OpenBus) -> list[int]:
    return [event.seq for event in node.events if isinstance(event, Publication)]


async def say_until_kept(bus: Bus, text: str, id: str) -> Receipt:
    """What a client does: try again with the same id until it is acknowledged."""
    while True:
        try:
            return await bus.publish("tea", "alice", text, id)
        except BusError:
            await trio.lowlevel.checkpoint()


# --- it dies and comes back -----------------------------------------------------------------------------------------


async def test_a_redis_that_writes_everything_down_goes_on_where_it_was(own_redis: Callable[..., RedisServer]) -> None:
    """Killed in the middle of publishing, with appendfsync always: one epoch, every position once, in order."""
    redis = own_redis(*ALWAYS)
    async with open_redis_node(redis) as node:
        before = await node.bus.follow("tea")
        receipts: list[Receipt] = []

        async def talk(name: str) -> None:
            for n in range(40):
                receipt = await say_until_kept(node.bus, f"{name} {n}", f"{name}-{n}")
                receipts.append(receipt)

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(talk, name)
            for _ in range(2):
                reached = len(receipts)
                await wait_until(lambda reached=reached: len(receipts) > reached + 5, "more has been published")  # type: ignore[misc]
                redis.kill()
                await wait_until(lambda: node.bus.not_ready is not None, "the node has noticed")
                redis.start()
        await node.settle()
        assert sorted({receipt.seq for receipt in receipts}) == heard(node) == list(range(1, 121))
        assert (await node.bus.history("tea")).epoch == before.epoch
        assert not any(isinstance(event, LogReset) for event in node.events)


async def test_a_redis_that_forgets_at_a_restart_begins_a_new_epoch(own_redis: Callable[..., RedisServer]) -> None:
    """The node is told before the next message, which it then gets."""
    redis = own_redis()
    async with open_redis_node(redis) as node:
        before = await node.bus.follow("tea")
        await node.bus.publish("tea", "alice", "one")
        await node.settle()
        redis.kill()
        redis.start()
        await wait_until(lambda: any(isinstance(event, LogReset) for event in node.events), "the node is told")
        await node.bus.publish("tea", "alice", "two")
        await node.settle()
        first, reset, second = node.events
        assert isinstance(reset, LogReset)
        assert isinstance(first, Publication)
        assert isinstance(second, Publication)
        assert reset.page.epoch not in ("", before.epoch)
        assert (first.seq, reset.page.seq, second.seq) == (1, 0, 1)


async def test_a_restored_redis_is_not_taken_for_the_one_before(own_redis: Callable[..., RedisServer]) -> None:
    """Its positions went back under the same names: another node that never was connected sees another epoch too."""
    redis = own_redis()
    async with open_redis_node(redis) as node:
        before = await node.bus.follow("tea")
        await node.bus.publish("tea", "alice", "kept")
        redis.cli("save")
        await node.bus.publish("tea", "alice", "lost")
        await node.settle()
        redis.kill()
        redis.start()
        async with open_redis_node(redis) as other:
            page = await other.bus.follow("tea")
            assert (page.epoch != before.epoch, page.seq) == (True, 1)
            assert (await node.bus.publish("tea", "alice", "new")).seq == 2
            await node.settle()
            await other.settle()
            assert heard(other) == [2]
        resets = [event for event in node.events if isinstance(event, LogReset)]
        assert [reset.page.epoch for reset in resets] == [page.epoch]


async def test_a_flushed_redis_is_noticed_with_the_next_message(redis: RedisServer) -> None:
    """Without any connection lost; people are said to be there again."""
    redis.cli("flushall")
    async with open_redis_node(redis, lease_s=1) as node:
        before = await node.bus.follow("tea")
        await node.bus.enter("tea", "alice")
        await node.bus.publish("tea", "alice", "one")
        await node.settle()
        redis.cli("flushall")
        await node.bus.publish("tea", "alice", "two")
        await wait_until(lambda: isinstance(node.events[-1], LogReset), "the node is told")
        reset = node.events[-1]
        assert isinstance(reset, LogReset)
        assert (reset.page.epoch != before.epoch, [p.text for p in reset.page.publications]) == (True, ["two"])
        await wait_until(
            lambda: PresenceChange("tea", "alice", entered=True) in node.events[3:], "alice is there again"
        )


# --- a reader falls behind ------------------------------------------------------------------------------------------


@asynccontextmanager
async def behind_a_proxy(redis: RedisServer) -> AsyncIterator[tuple[Proxy, RedisBus, list[Event]]]:
    redis.cli("flushall")
    async with open_proxy(redis.socket) as proxy, trio.open_nursery() as nursery:
        bus = RedisBus(parse_address(proxy.url), KEEPING)
        events: list[Event] = []
        await nursery.start(bus.run, events.append)
        yield proxy, bus, events
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("missed, whole", [(HISTORY - 2, True), (HISTORY + 5, False)])
async def test_a_stream_trimmed_past_a_reader_is_made_up_for_from_the_log(
    redis: RedisServer, missed: int, whole: bool
) -> None:
    """As far as the room's log reaches back; farther than that the node is told that there is a hole."""
    async with behind_a_proxy(redis) as (proxy, bus, events):
        await bus.follow("tea")
        await bus.publish("tea", "alice", "heard")
        await bus.wait_caught_up()
        proxy.freeze(b"scalechat-read")
        for n in range(missed):
            await bus.publish("tea", "alice", f"missed {n}")
        redis.cli("xtrim", shard_of("tea").stream.decode(), "maxlen", "1")
        redis.cli("client", "kill", "type", "normal")
        proxy.thaw()  # The answer that was on its way arrives: it holds the first, or a few.
        await bus.wait_caught_up()
        await bus.publish("tea", "alice", "live again")
        await bus.wait_caught_up()
    said = [event.seq for event in events if isinstance(event, Publication)]
    resets = [event for event in events if isinstance(event, LogReset)]
    if whole:
        assert (said, resets) == (list(range(1, missed + 3)), [])
    else:
        assert [reset.page.seq for reset in resets] == [missed + 1]
        assert said == [*range(1, len(said)), missed + 2]


# --- connections are cut --------------------------------------------------------------------------------------------


async def test_a_lost_answer_makes_no_second_message(redis: RedisServer) -> None:
    """The publish that got it goes out again by itself, with an id of the client's or without."""
    async with behind_a_proxy(redis) as (proxy, bus, events):
        await bus.follow("tea")
        for n, id in enumerate((None, "my-id"), 1):
            proxy.lose_answer_to = PUBLISH.sha
            receipt = await bus.publish("tea", "alice", "hi", id)
            assert (abs(receipt.seq), proxy.lost) == (n, n)
        await bus.wait_caught_up()
    assert [event.seq for event in events if isinstance(event, Publication)] == [1, 2]


async def test_killed_connections_lose_and_double_nothing(redis: RedisServer) -> None:
    """A hundred times in a row, while everybody speaks; afterwards there are as many connections as before."""
    redis.cli("flushall")
    async with open_redis_node(redis) as node:
        await node.bus.follow("tea")
        receipts: list[Receipt] = []
        stop = trio.Event()

        async def talk(name: str) -> None:
            n = 0
            while not stop.is_set():
                n += 1
                receipts.append(await say_until_kept(node.bus, f"{name} {n}", f"{name}-{n}"))

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(talk, name)
            for _ in range(100):
                await trio.to_thread.run_sync(redis.cli, "client", "kill", "type", "normal")
            stop.set()
        await node.settle()
        assert heard(node) == sorted(receipt.seq for receipt in receipts) == list(range(1, len(receipts) + 1))
        assert node.bus.statistics().reconnects >= 2
        names = [line for line in redis.cli("client", "list").splitlines() if "name=scalechat" in line]
        assert len(names) == 3


# --- it cannot or does not answer -----------------------------------------------------------------------------------


async def test_a_stopped_redis_costs_publishers_their_patience_and_nothing_else(redis: RedisServer) -> None:
    """They are told within the deadline; what was under way is not doubled when it goes on."""
    redis.cli("flushall")
    async with open_redis_node(redis, deadline_s=0.5) as node:
        await node.bus.follow("tea")
        await node.bus.publish("tea", "alice", "before", "1")
        assert redis.process is not None
        redis.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(BusError, match="cannot be reached"):
                await node.bus.publish("tea", "alice", "during", "2")
            await wait_until(lambda: not node.bus.statistics().up, "the node says that it is away")
        finally:
            redis.process.send_signal(signal.SIGCONT)
        await wait_until(lambda: node.bus.statistics().up, "it is back")
        again = await say_until_kept(node.bus, "during", "2")
        assert again.seq == 2
        await node.settle()
        assert heard(node) == [1, 2]


@pytest.mark.parametrize(
    "ill, well, said",
    [
        (("config", "set", "maxmemory", "1"), ("config", "set", "maxmemory", "0"), "is full"),
        (("replicaof", "127.0.0.1", "1"), ("replicaof", "no", "one"), "cannot be reached"),
    ],
    ids=["full", "read-only"],
)
async def test_a_redis_that_takes_nothing_is_told_to_the_publisher(
    own_redis: Callable[..., RedisServer], ill: tuple[str, ...], well: tuple[str, ...], said: str
) -> None:
    """And when it takes messages again, they are taken."""
    redis = own_redis()
    async with open_redis_node(redis, deadline_s=0.5) as node:
        await node.bus.follow("tea")
        redis.cli(*ill)
        with pytest.raises(BusError, match=said):
            await node.bus.publish("tea", "alice", "hi", "1")
        redis.cli(*well)
        assert (await say_until_kept(node.bus, "hi", "1")).seq == 1
        await node.settle()
        assert heard(node) == [1]


async def test_publishers_over_the_bound_are_told_at_once(redis: RedisServer) -> None:
    """Nothing grows while Redis is away."""
    async with behind_a_proxy(redis) as (proxy, bus, _):
        proxy.freeze(b"scalechat-write")
        answers: list[str] = []

        async def publish() -> None:
            try:
                await bus.publish("tea", "alice", "x" * 2**20)
            except BusError as error:
                answers.append(str(error))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(publish)
            await wait_until(lambda: len(answers) == 5, "those who are too many have their answer")
            assert set(answers) == {"too many messages wait for the message store; try again"}
            assert bus.statistics().waiting_bytes <= 16 * 2**20
            nursery.cancel_scope.cancel()
        assert bus.statistics().waiting_publishes == 0
        proxy.thaw()
