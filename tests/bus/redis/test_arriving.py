"""A bus that cannot work says why in one line, without secrets, before anything is served."""

from pathlib import Path

import pytest
import trio

from scalechat.bus.opening import make_bus
from scalechat.bus.redis.keys import ALL_SHARDS, NOTICE_SLOT, slot_of
from scalechat.config import OperationalError
from tests.bus.redis_server import RedisServer, redis_server


async def why_not(url: str) -> str:
    """The one line with which the bus at `url` refuses to run."""
    bus = make_bus(url, history_messages=8, observe_publish_s=lambda _: None)
    with pytest.raises(BaseExceptionGroup) as refused:
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run, lambda _: None)
    error: BaseException = refused.value
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, OperationalError)
    return str(error)


async def test_nobody_at_that_address_is_one_line(tmp_path: Path) -> None:
    """With the address and what to do."""
    where = f"unix://{tmp_path}/none.sock"
    expected = f"no Redis at {where}: No such file or directory; start it, or give another address with --bus"
    assert await why_not(where) == expected


async def test_a_wrong_password_is_said_and_not_shown(redis_binary: str) -> None:
    """Neither the one that was given nor the one that is right."""
    with redis_server(redis_binary) as redis:
        redis.cli("config", "set", "requirepass", "right-secret")
        line = await why_not(f"unix://:wrong-secret@{redis.socket}")
    assert "does not accept the user name or password" in line
    assert "secret" not in line


async def test_a_user_who_may_not_run_scripts_is_told(redis: RedisServer) -> None:
    """By Redis' own words."""
    redis.cli("acl", "setuser", "reader", "on", ">pw", "~*", "+@all", "-@scripting")
    try:
        assert "does not let us" in await why_not(f"unix://reader:pw@{redis.socket}")
    finally:
        redis.cli("acl", "deluser", "reader")


def test_slots_are_those_that_a_cluster_computes() -> None:
    """The hash tag decides, so a shard's keys are in one place; the shards are spread over three servers evenly."""
    for key in (b"foo", b"{user1000}.following", b"foo{}{bar}", b"foo{{bar}}zap", b"x{bar}{zap}"):
        assert slot_of(key) == int(_slot_by_hand(key))
    for shard in ALL_SHARDS:
        keys = (shard.meta, shard.stream, *shard.ids, shard.nodes, shard.index, shard.room("tea"), shard.log("tea"))
        assert {slot_of(key) for key in keys} == {shard.slot}
    thirds = [sum(shard.slot * 3 // 16384 == third for shard in ALL_SHARDS) for third in range(3)]
    assert (min(thirds) >= 15, sum(thirds)) == (True, 64)
    assert 0 <= NOTICE_SLOT < 16384


def _slot_by_hand(key: bytes) -> int:
    """Bit by bit, as the Redis Cluster specification's appendix has it."""
    tag = key
    if b"{" in key:
        inside, closed, _ = key.partition(b"{")[2].partition(b"}")
        if closed and inside:
            tag = inside
    crc = 0
    for byte in tag:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % 16384
