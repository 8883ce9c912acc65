"""Three nodes on one Redis are replaced one after the other: their clients move on and nobody misses a thing."""

from collections.abc import Callable
from pathlib import Path

import trio

from scalechat.client.chat import ChatClient, open_chat
from scalechat.client.dial import Address, connect_tcp, parse_address
from scalechat.client.errors import Unreachable
from scalechat.client.events import Disconnected, Joined
from scalechat.server.supervisor.redis import PrivateRedis
from scalechat.wire.messages import Publication

from ..conftest import ServeProcess, ServerProcess
from ..patience import WITHIN_S

READERS = 6
NODES = 3


class Balancer:
    """Gives each new connection to the next node that answers, as a load balancer in front would."""

    def __init__(self, nodes: list[ServerProcess]) -> None:
        self.nodes = nodes
        self._next = 0

    async def connect(self, _: Address) -> trio.abc.Stream:
        for _attempt in range(len(self.nodes)):
            self._next += 1
            node = self.nodes[self._next % len(self.nodes)]
            try:
                return await connect_tcp(parse_address(node.ws_url))
            except Unreachable:
                continue
        raise Unreachable("no node answers")


class Reader:
    """What one client heard, and why it was away."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []
        self.goodbyes: list[str] = []
        self.unrecovered = 0

    async def listen(self, chat: ChatClient) -> None:
        async for event in chat:
            match event:
                case Publication():
                    self.heard.append((event.seq, event.text))
                case Disconnected():
                    self.goodbyes.append(event.reason)
                case Joined(resumed=True, recovered=False):
                    self.unrecovered += 1


async def test_a_rolling_restart_loses_nothing(
    serve_process: ServeProcess, require_binary: Callable[[str, str], str], tmp_path: Path
) -> None:
    """Each node's clients are told when to come back, resume on another, and have heard everything once, in order."""
    redis = PrivateRedis(require_binary("redis-server", "apt install redis-server"), tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(redis.run)

        def start() -> ServerProcess:
            return serve_process("--bus", redis.url, "--drain", "5", "--message-rate", "0")

        balancer = Balancer([start() for _ in range(NODES)])
        readers = [Reader() for _ in range(READERS)]
        acked: dict[str, int] = {}
        stop, said_all = trio.Event(), trio.Event()

        async def publish() -> None:
            async with open_chat("ws://any/ws", client_id="bot", room="global", connect=balancer.connect) as chat:
                nursery.start_soon(Reader().listen, chat)  # Whoever does not listen is not read to either.
                while not stop.is_set():
                    text = f"message {len(acked)}"
                    acked[text] = await chat.send(text)
                    await trio.sleep(0.002)
            said_all.set()

        async def read(reader: Reader, number: int) -> None:
            async with open_chat(
                "ws://any/ws", client_id=f"reader-{number}", room="global", connect=balancer.connect
            ) as chat:
                nursery.start_soon(reader.listen, chat)
                with trio.fail_after(6 * WITHIN_S):
                    await said_all.wait()
                    while len(reader.heard) < len(acked):  # noqa: ASYNC110  Its events come in another task.
                        await trio.sleep(0.01)

        async with trio.open_nursery() as clients:
            for number, reader in enumerate(readers):
                clients.start_soon(read, reader, number)
            await trio.sleep(0.5)
            clients.start_soon(publish)
            for number in range(NODES):
                before = len(acked)
                assert await trio.to_thread.run_sync(balancer.nodes[number].stop) == 0
                balancer.nodes[number] = await trio.to_thread.run_sync(start)
                with trio.fail_after(WITHIN_S):
                    while len(acked) < before + 50:  # noqa: ASYNC110  Another task counts them.
                        await trio.sleep(0.01)
            stop.set()
        nursery.cancel_scope.cancel()

    everything = sorted((seq, text) for text, seq in acked.items())
    assert [seq for seq, _ in everything] == list(range(1, len(everything) + 1))
    for reader in readers:
        assert reader.heard == everything
        assert reader.unrecovered == 0
    goodbyes = [reason for reader in readers for reason in reader.goodbyes]
    assert len(goodbyes) >= READERS
    assert all("draining" in reason for reason in goodbyes), set(goodbyes)
