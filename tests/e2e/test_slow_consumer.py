"""A real server, real sockets, and a client that stops reading for a while."""

import re
import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from ..conftest import ServeProcess
from ..patience import WITHIN_S
from ..rough import RoughPeer, rough_peer, said

MESSAGES = 4000
TEXT = "x" * 4000
"""16 MB in all: more than the kernel keeps for a connection."""
QUEUE_FRAMES = 64


@asynccontextmanager
async def small_window_peer(port: int) -> AsyncIterator[RoughPeer]:
    """A peer whose kernel keeps little for it."""
    raw = trio.socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    await raw.connect(("127.0.0.1", port))
    peer = RoughPeer(trio.SocketStream(raw))
    try:
        yield peer
    finally:
        await peer.aclose()


async def publish(port: int, room: str) -> None:
    """Say everything, and hear it all as a member that keeps up does."""
    async with rough_peer(port) as peer, trio.open_nursery() as nursery:
        await peer.enter(f"/ws?clientId=bob&room={room}", v1=True)
        await peer.hear_all(2)

        async def speak() -> None:
            for _ in range(MESSAGES // 40):
                await peer.send(said(type="message", Message=TEXT, room=room) * 40)

        nursery.start_soon(speak)
        heard = [await peer.hear() for _ in range(MESSAGES)]
        assert [message["seq"] for message in heard] == list(range(1, MESSAGES + 1))


@pytest.mark.parametrize("room, all_of_it", [("tea", True), ("price-eur", False)])
async def test_a_client_that_stops_reading_gets_what_its_room_promises(
    serve_process: ServeProcess, room: str, all_of_it: bool
) -> None:
    """Everything in order where the server pauses, the newest where only that counts; nobody is cut off."""
    server = serve_process(
        *("--slow-consumer", "pause", "--room-policy", "price-*=latest", "--queue-frames", str(QUEUE_FRAMES)),
        *("--history", str(MESSAGES), "--queue-bytes", str(4 * 2**20), "--queue-age", "3600", "--message-rate", "0"),
    )
    with trio.fail_after(3 * WITHIN_S):
        async with small_window_peer(server.port) as slow:
            await slow.enter(f"/ws?clientId=alice&room={room}", v1=True)
            await slow.hear_all(2)
            await publish(server.port, room)
            metrics = (await trio.to_thread.run_sync(urllib.request.urlopen, server.url + "/metrics")).read().decode()
            seqs = [0]
            while seqs[-1] < MESSAGES:
                message = await slow.hear()
                if "type" not in message:
                    seqs.append(message["seq"])
    assert seqs == (list(range(MESSAGES + 1)) if all_of_it else sorted(set(seqs)))
    waiting = re.search(r"^scalechat_queue_frames (\S+)$", metrics, re.MULTILINE)
    assert waiting is not None
    assert 1 <= float(waiting[1]) <= QUEUE_FRAMES + 128  # The rest of one batch may have to follow.
    assert sum(map(float, re.findall(r"^scalechat_evictions_total\{.*\} (\S+)$", metrics, re.MULTILINE))) == 0
    (dropped,) = re.findall(r'^scalechat_drops_total\{policy="latest"\} (\S+)$', metrics, re.MULTILINE)
    assert float(dropped) == MESSAGES - (len(seqs) - 1)
