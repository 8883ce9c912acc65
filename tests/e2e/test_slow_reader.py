"""One client that stopped reading among a hundred: it is evicted within the limits, the others get everything."""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
import trio

from ..conftest import ServeProcess
from ..patience import wait_until_async
from ..rough import TEXT, RoughPeer, rough_peer, said
from .scrape import Prober, prober

TEXT_BYTES = 30_000
QUEUE_BYTES = 128 * 1024
CLIENT = """
import os, socket, sys
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.sendall(sys.argv[2].encode())
assert sock.recv(12) == b"HTTP/1.1 101"
print("in", flush=True)
while sock.recv(65536):
    pass
"""


class Reader:
    """Reads for ever and checks that what it hears has no hole."""

    def __init__(self, peer: RoughPeer) -> None:
        self.peer = peer
        self.seq = 0

    async def read(self) -> None:
        while True:
            got = await self.peer.frame()
            if got.opcode != TEXT:
                await self.peer.answer_control(got)
            elif "seq" in (value := got.said) and "type" not in value:
                assert value["seq"] == self.seq + 1
                self.seq += 1


@contextmanager
def _stopped_process(port: int, handshake: str) -> Iterator[None]:
    """A client process that came in, read for a while and was then stopped by SIGSTOP."""
    with subprocess.Popen([sys.executable, "-c", CLIENT, str(port), handshake], stdout=subprocess.PIPE) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == b"in\n"
            os.kill(client.pid, signal.SIGSTOP)
            yield
        finally:
            client.kill()


async def _crowd(
    port: int, enough: Callable[[Prober], Awaitable[bool]], *, say: int, others: int, by_process: bool
) -> dict[str, float]:
    """One client that does not read and `others` that do; one publishes `say` messages or until `enough`."""
    handshake = "GET /ws?clientId=stopped HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    handshake += "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        probe = await stack.enter_async_context(prober(port))
        before = await probe.counts()
        if by_process:
            stack.enter_context(_stopped_process(port, handshake))
        else:
            unread = await stack.enter_async_context(rough_peer(port, small_window=True))
            await unread.enter("/ws?clientId=stopped")
        readers = []
        for number in range(others):
            reader = Reader(await stack.enter_async_context(rough_peer(port)))
            await reader.peer.enter(f"/ws?clientId=c{number}")
            readers.append(reader)
            nursery.start_soon(reader.read)
        published = 0
        while published < say and not await enough(probe):
            await readers[0].peer.send(said(clientId="c0", Message="x" * TEXT_BYTES) * 10)
            published += 10

            async def heard(published: int = published) -> bool:
                return all(reader.seq == published for reader in readers)

            await wait_until_async(heard, "all others have everything so far")
        await wait_until_async(lambda: enough(probe), "the one that does not read is evicted")
        last = published + 1
        await readers[0].peer.send(said(clientId="c0", Message="afterwards"))

        async def heard_last() -> bool:
            return all(reader.seq == last for reader in readers)

        await wait_until_async(heard_last, "all others have everything")

        assert (await probe.values())["scalechat_members"] == others
        after = await probe.counts()
        nursery.cancel_scope.cancel()
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


@pytest.mark.parametrize(
    "limit, by_process, others",
    [("bytes", True, 99), ("frames", False, 9), ("age", False, 9), ("silence", True, 9)],
)
async def test_a_client_that_stopped_is_evicted_and_the_others_hear_everything(
    serve_process: ServeProcess, limit: str, by_process: bool, others: int
) -> None:
    """By each of the four limits; nobody else is evicted, and every other hears every message once and in order."""
    wide = {"--queue-bytes": "100000000", "--queue-frames": "100000", "--queue-age": "60", "--heartbeat": "30"}
    tight = {
        "bytes": {"--queue-bytes": str(QUEUE_BYTES)},
        "frames": {"--queue-frames": "8"},
        "age": {"--queue-age": "0.3"},
        "silence": {"--heartbeat": "1"},
    }
    server = serve_process("--message-rate", "0", *(word for pair in (wide | tight[limit]).items() for word in pair))
    reason = {"bytes": "queue_full", "frames": "queue_full", "age": "queue_age", "silence": "heartbeat"}[limit]

    async def evicted(probe: Prober) -> bool:
        return (await probe.counts())[f"evictions:{reason}"] == 1

    say = 10 if limit == "silence" else 5000
    changed = await _crowd(server.port, evicted, say=say, others=others, by_process=by_process)
    assert {name: by for name, by in changed.items() if name.startswith("evictions")} == {f"evictions:{reason}": 1}
    assert [line for line in server.log() if line.get("level") not in ("info", "debug")] == []
