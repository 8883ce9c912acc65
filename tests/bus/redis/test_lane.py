"""A connection for one task: its answers are those to its own calls, whatever happened to the calls before."""

import pytest
import trio
import trio.testing
from coredis.exceptions import RedisError

from scalechat.bus.redis.address import parse_address
from scalechat.bus.redis.lane import Lane
from scalechat.bus.redis.link import Link, LinkDown
from tests.bus.redis_server import RedisServer


def lane_to(redis: RedisServer, said: list[str | None]) -> Lane:
    def changed(_link: Link, why: str | None) -> None:
        said.append(why)

    return Lane(parse_address(redis.url), "scalechat-test", changed)


async def test_several_commands_are_answered_in_their_order_and_a_refusal_is_one_of_the_answers(
    redis: RedisServer, nursery: trio.Nursery
) -> None:
    """Text, number, bytes of any kind, error, nothing."""
    lane = lane_to(redis, [])
    nursery.start_soon(lane.run)
    with trio.fail_after(10):
        await lane.wait_up()
        binary = bytes(range(256)) * 300
        replies = await lane.call_all(
            [(b"SET", "lane", binary), (b"GET", "lane"), (b"LPUSH", "lane", 1), (b"INCR", "lane-n"), (b"GET", "none")]
        )
        await lane.call(b"DEL", "lane", "lane-n")
    assert replies[:2] == [b"OK", binary]
    assert isinstance(replies[2], RedisError)
    assert replies[3:] == [1, None]


async def test_a_call_that_is_cancelled_never_answers_the_next_one(redis: RedisServer, nursery: trio.Nursery) -> None:
    """The connection is given up, and another one made."""
    said: list[str | None] = []
    lane = lane_to(redis, said)
    nursery.start_soon(lane.run)
    with trio.fail_after(10):
        await lane.wait_up()
        async with trio.open_nursery() as asking:
            asking.start_soon(lane.call, b"BLPOP", "nobody-pushes", 5)
            await trio.testing.wait_all_tasks_blocked()
            asking.cancel_scope.cancel()
        with pytest.raises(LinkDown):
            await lane.call(b"PING")
        await lane.wait_up()
        assert await lane.call(b"PING") == b"PONG"
    assert said == [None, "the connection was lost", None]


async def test_an_answer_that_does_not_come_in_time_costs_the_connection(
    redis: RedisServer, nursery: trio.Nursery
) -> None:
    """Late answers would be taken for those to later calls."""
    lane = lane_to(redis, [])
    nursery.start_soon(lane.run)
    with trio.fail_after(10):
        await lane.wait_up()
        with pytest.raises(LinkDown):
            await lane.call(b"BLPOP", "nobody-pushes", 5, answer_s=0.01)
        await lane.wait_up()
        assert await lane.call(b"PING") == b"PONG"
