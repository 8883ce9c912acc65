"""The promise of the client kept against a real server: cut it as often as you like, each message arrives once."""

import trio

from scalechat.client.chat import open_chat
from scalechat.client.dial import Address, connect_tcp
from scalechat.client.events import Disconnected, Joined
from scalechat.client.reconnect import BackoffPolicy
from scalechat.wire.messages import Publication
from tests.conftest import ServeProcess

MESSAGES = 300
CUTS = 6
SOON = BackoffPolicy(base_s=0.02, cap_s=0.1)


class Wire:
    """Opens real connections and can cut the current one."""

    def __init__(self) -> None:
        self.stream: trio.abc.Stream | None = None

    async def connect(self, address: Address) -> trio.abc.Stream:
        self.stream = await connect_tcp(address)
        return self.stream

    async def cut(self) -> None:
        if self.stream is not None:
            await trio.aclose_forcefully(self.stream)


async def test_cut_again_and_again_nothing_is_lost_doubled_or_reordered(serve_process: ServeProcess) -> None:
    """Both the one who says and the one who reads lose their wire in the middle; the log and the reader agree."""
    server = serve_process("--message-rate", "0", "--history", "1000")
    saying, reading = Wire(), Wire()
    positions: list[int] = []
    seen: list[Publication] = []
    losses = 0

    async def say() -> None:
        async with open_chat(server.ws_url, client_id="alice", backoff=SOON, connect=saying.connect) as chat:
            for number in range(MESSAGES):
                if number % (MESSAGES // CUTS) == MESSAGES // CUTS - 1:
                    await reading.cut()
                    await saying.cut()
                positions.append(await chat.send(f"message {number}"))

    async with trio.open_nursery() as nursery:
        with trio.fail_after(60):
            async with open_chat(server.ws_url, client_id="bob", backoff=SOON, connect=reading.connect) as chat:
                nursery.start_soon(say)
                async for event in chat:
                    match event:
                        case Publication():
                            seen.append(event)
                            if len(seen) == MESSAGES:
                                break
                        case Disconnected(attempt=0):
                            losses += 1
                        case Joined(resumed=True):
                            assert event.recovered
    assert losses >= 2  # a cut that hits a wire already lost is none
    assert [message.seq for message in seen] == list(range(1, MESSAGES + 1))
    assert [message.text for message in seen] == [f"message {number}" for number in range(MESSAGES)]
    assert positions == list(range(1, MESSAGES + 1))
