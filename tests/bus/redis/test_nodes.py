"""Two nodes on one Redis: what is true of a room is true of it on both."""

from collections.abc import AsyncIterator

import pytest
import trio

from scalechat.bus.base import DirectDelivery, Kick, PresenceChange, Receipt
from scalechat.wire.messages import DirectMessage, Publication
from tests.bus.opening import HISTORY, OpenBus, open_redis_node
from tests.bus.redis_server import RedisServer
from tests.patience import wait_until_async


@pytest.fixture
async def nodes(redis: RedisServer) -> AsyncIterator[tuple[OpenBus, OpenBus]]:
    redis.cli("flushall")
    async with open_redis_node(redis) as one, open_redis_node(redis) as other:
        yield one, other


def heard(node: OpenBus, room: str = "tea") -> list[Publication]:
    return [event for event in node.events if isinstance(event, Publication) and event.room == room]


async def say(node: OpenBus, name: str, count: int, room: str = "tea") -> None:
    for n in range(count):
        await node.bus.publish(room, name, f"{name} {n}")


async def test_both_nodes_hear_the_same_in_the_same_order(nodes: tuple[OpenBus, OpenBus]) -> None:
    """Whoever speaks, and through whichever node."""
    for node in nodes:
        await node.bus.follow("tea")
    async with trio.open_nursery() as nursery:
        for n in range(6):
            nursery.start_soon(say, nodes[n % 2], f"client-{n}", 10)
    for node in nodes:
        await node.settle()
    assert heard(nodes[0]) == heard(nodes[1])
    assert [publication.seq for publication in heard(nodes[0])] == list(range(1, 61))


async def test_a_node_that_follows_while_another_speaks_misses_nothing(nodes: tuple[OpenBus, OpenBus]) -> None:
    """Page and delivery meet exactly, for every room and at every moment."""
    rooms = [f"room-{n}" for n in range(20)]
    pages = {}

    async def follow(room: str) -> None:
        pages[room] = await nodes[1].bus.follow(room)

    async with trio.open_nursery() as nursery:
        for room in rooms:
            nursery.start_soon(say, nodes[0], "alice", HISTORY, room)
            nursery.start_soon(follow, room)
    await nodes[1].settle()
    for room in rooms:
        seqs = [said.seq for said in (*pages[room].publications, *heard(nodes[1], room))]
        assert seqs == list(range(1, HISTORY + 1))


async def test_a_retry_through_another_node_is_the_same_message(nodes: tuple[OpenBus, OpenBus]) -> None:
    """The node that took it may be the one that died."""
    first = await nodes[0].bus.publish("tea", "alice", "hi", "1")
    assert (first, await nodes[1].bus.publish("tea", "alice", "hi", "1")) == (
        Receipt(1, duplicate=False),
        Receipt(1, duplicate=True),
    )


async def test_a_room_is_the_same_from_any_node(nodes: tuple[OpenBus, OpenBus]) -> None:
    """Log, epoch, people and the list of rooms."""
    one, other = nodes[0].bus, nodes[1].bus
    await say(nodes[0], "alice", 3)
    await one.enter("tea", "alice")
    await other.enter("tea", "alice")
    await other.enter("tea", "bob")
    assert await one.history("tea") == await other.history("tea")
    assert await one.presence("tea") == await other.presence("tea") == {"alice": 2, "bob": 1}
    assert await one.population("tea") == 2
    assert await one.rooms() == await other.rooms()


async def test_a_client_on_two_nodes_comes_once_and_goes_once(nodes: tuple[OpenBus, OpenBus]) -> None:
    """Its connections are counted over all nodes."""
    await nodes[0].bus.follow("tea")
    for node in nodes:
        await node.bus.enter("tea", "alice")
    for node in nodes:
        node.bus.exit("tea", "alice")
        await node.settle()
    await nodes[0].settle()
    assert nodes[0].events == [PresenceChange("tea", "alice", entered) for entered in (True, False)]


async def test_what_is_meant_for_one_client_or_session_reaches_every_node(nodes: tuple[OpenBus, OpenBus]) -> None:
    """Nobody knows where it is connected."""
    message = DirectMessage(client_id="alice", to="bob", text="psst", ts_unix_ms=5)
    await nodes[0].bus.send_direct(DirectDelivery(message, "s1"))
    await nodes[0].bus.kick("s2")
    for node in nodes:
        await node.settle()
        assert node.events == [DirectDelivery(message, "s1"), Kick("s2")]


async def test_the_members_of_a_dead_node_disappear(redis: RedisServer) -> None:
    """Its lease runs out, and the next who asks finds them gone; those of the living stay."""
    redis.cli("flushall")
    async with open_redis_node(redis, lease_s=1) as living:
        await living.bus.follow("tea")
        async with open_redis_node(redis, lease_s=1) as dead:
            await dead.bus.enter("tea", "alice")
            await living.bus.enter("tea", "bob")

        async def alone() -> bool:
            return await living.bus.presence("tea") == {"bob": 1}

        await wait_until_async(alone, "the dead node's member is gone")
        await living.settle()
        assert living.events[-1] == PresenceChange("tea", "alice", entered=False)
