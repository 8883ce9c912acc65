"""The relay over publish and subscribe works while its Redis does, and loses without a word what is said meanwhile."""

from __future__ import annotations

import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio_websocket import WebSocketConnection, WebSocketServer, open_websocket_url, serve_websocket

from scalechat.experiment.naive_relay import Relay, push_of
from scalechat.experiment.part import Part

BULKS = st.lists(st.binary(max_size=20), min_size=1, max_size=4)


@given(BULKS, st.binary(max_size=10))
def test_a_push_is_found_when_it_is_whole_and_not_before(words: list[bytes], rest: bytes) -> None:
    """Cut anywhere it is not there yet; what follows it is kept."""
    whole = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    assert push_of(whole + rest) == (words, rest)
    assert all(push_of(whole[:cut]) is None for cut in range(len(whole)))


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
async def test_what_is_said_while_redis_is_away_is_lost_and_what_is_said_after_it_arrives(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Nobody is disconnected and nobody is told: only the message is missing."""
    path = str(tmp_path / "redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(tmp_path)]
    redis = Part("redis", command, lambda log: b"eady to accept connections" in log)
    relay = Relay(path)
    with trio.fail_after(60):
        await redis.start(nursery)
        server: WebSocketServer = await nursery.start(partial(serve_websocket, relay.handle, "127.0.0.1", 0, None))
        nursery.start_soon(relay.run)
        try:
            async with open_websocket_url(f"ws://127.0.0.1:{server.port}/?clientId=x&room=a") as member:
                await said_until_heard(member, "one")
                await redis.end(signal.SIGKILL)
                await member.send_message("lost")
                await redis.start(nursery)
                await said_until_heard(member, "two", never="lost")
        finally:
            await redis.end(signal.SIGKILL)


async def said_until_heard(member: WebSocketConnection, text: str, never: str = "") -> None:
    """The relay's subscription is of its own time, so it is said again until it comes back."""
    while True:
        await member.send_message(text)
        with trio.move_on_after(0.2):
            heard = await member.get_message()
            assert heard != never
            return
