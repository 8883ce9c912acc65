"""SIGTERM and Ctrl-C on a real server under load: nothing acknowledged is lost, everybody is told when to come back."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from ..conftest import ServeProcess, ServerProcess
from ..patience import wait_until, wait_until_async
from ..rough import CLOSE, TEXT, Closed, RoughPeer, rough_peer, said
from .scrape import prober

MEMBERS = 40
PUBLISHERS = 4


@dataclass(slots=True)
class Member:
    """Reads to the end and remembers."""

    peer: RoughPeer
    v1: bool
    heard: list[tuple[int, str]] = field(default_factory=list)
    acked: dict[str, int] = field(default_factory=dict)
    reconnect: dict[str, object] = field(default_factory=dict)
    closed: Closed | None = None

    async def read(self) -> None:
        while (got := await self.peer.frame()).opcode != CLOSE:
            if got.opcode != TEXT:
                await self.peer.answer_control(got)
                continue
            match value := got.said:
                case {"type": "ack"}:
                    self.acked[value["id"]] = value["seq"]
                case {"type": "reconnect"}:
                    self.reconnect = value
                case {"seq": seq, "Message": text}:
                    self.heard.append((seq, text))
        self.closed = got.closed


@asynccontextmanager
async def members(server: ServerProcess, v1: int, plain: int) -> AsyncIterator[list[Member]]:
    """Clients that came in and read until they are closed."""
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        every = []
        for number in range(v1 + plain):
            member = Member(await stack.enter_async_context(rough_peer(server.port)), number < v1)
            await member.peer.enter(f"/ws?clientId=c{number}", v1=member.v1)
            nursery.start_soon(member.read)
            every.append(member)
        yield every


async def _publish(member: Member, name: str, stop: trio.Event) -> None:
    """Say one thing after the other, each after the last was acknowledged, until the server goes."""
    for number in range(100_000):
        id = f"{name}-{number}"
        try:
            await member.peer.send(said(Message=id, id=id))
        except trio.BrokenResourceError:
            return
        while id not in member.acked:
            if stop.is_set() or member.closed is not None:
                return
            await trio.sleep(0.001)  # Its reader is another task.


async def _ends_well(server: ServerProcess) -> None:
    await wait_until(lambda: server.process.poll() is not None, "the server has ended")
    assert server.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_drain_under_load_loses_nothing_acknowledged(
    serve_process: ServeProcess, number: signal.Signals
) -> None:
    """Every v1 client gets `reconnect` and 4012 at a time of its own, plain ones 1001; all have all that was acked."""
    server = serve_process("--message-rate", "0")
    stop = trio.Event()
    async with members(server, MEMBERS, 5) as every, trio.open_nursery() as nursery:
        publishers = every[:PUBLISHERS]
        for at, publisher in enumerate(publishers):
            nursery.start_soon(_publish, publisher, f"p{at}", stop)
        await wait_until(lambda: all(len(member.heard) >= 100 for member in every), "the load is under way")
        server.process.send_signal(number)
        await wait_until(lambda: all(member.closed is not None for member in every), "everybody has been closed")
        stop.set()
    await _ends_well(server)

    acked = {id: seq for publisher in publishers for id, seq in publisher.acked.items()}
    assert len(acked) >= 100
    longest = max((member.heard for member in every), key=len)
    assert [seq for seq, _ in longest] == list(range(1, len(longest) + 1))
    for member in every:
        assert member.heard == longest, "everybody heard the same, in the same order, to the end"
    heard = {text: seq for seq, text in longest}
    assert {id: heard.get(id) for id in acked} == acked

    delays = []
    for member in every:
        assert member.closed is not None
        if not member.v1:
            assert member.closed == Closed(1001, member.closed.reason)
            continue
        assert member.reconnect["reason"] == "draining"
        delays.append(member.reconnect["after_ms"])
        assert member.closed == Closed(4012, f"draining; retry after {delays[-1]} ms")
    assert len(set(delays)) > MEMBERS / 2, "they do not all come back at the same moment"
    assert [line["event"] for line in server.log()] == ["listening", "draining", "stopped"]


async def test_a_client_that_does_not_read_does_not_hold_up_the_drain(serve_process: ServeProcess) -> None:
    """Its queue is full of what it will never take; everybody else gets everything, and the end comes all the same."""
    server = serve_process(
        "--queue-bytes", "100000000", "--queue-frames", "100000", "--queue-age", "60", "--drain", "60"
    )
    async with rough_peer(server.port, small_window=True) as stopped, members(server, 3, 1) as every:
        await stopped.enter("/ws?clientId=stopped")
        talker = every[0]
        for number in range(150):
            await talker.peer.send(said(Message="x" * 30_000, id=str(number)))
        await wait_until(lambda: len(talker.acked) == 150, "everything is acknowledged")
        server.process.send_signal(signal.SIGTERM)
        await wait_until(lambda: all(member.closed is not None for member in every), "everybody has been closed")
        assert {len(member.heard) for member in every} == {150}
        await _ends_well(server)


@pytest.mark.parametrize(
    "first, second",
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)],
)
async def test_a_second_signal_stops_at_once(
    serve_process: ServeProcess, first: signal.Signals, second: signal.Signals
) -> None:
    """A request under way holds up the drain for as long as it may; whoever asks twice does not wait for it."""
    server = serve_process("--drain", "3000", env={"SCALECHAT_API_KEY": "k"})
    async with rough_peer(server.port) as busy, members(server, 1, 0) as (member,):
        await busy.send(
            b"POST /api/rooms/tea/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )
        await _have_asked(server, 1)
        server.process.send_signal(first)
        await wait_until(lambda: member.closed is not None, "the drain has begun")
        assert server.process.poll() is None
        server.process.send_signal(second)
        await _ends_well(server)


async def _have_asked(server: ServerProcess, count: int) -> None:
    """Wait until the server has seen so many HTTP requests begin."""
    async with prober(server.port) as probe:

        async def seen() -> bool:
            return (await probe.counts())["accepts:http"] > count  # The probe's is one of them.

        await wait_until_async(seen, f"{count} requests have begun")


async def test_a_message_posted_during_the_drain_is_refused_and_not_lost(serve_process: ServeProcess) -> None:
    """Its request came before the signal, its body after: nobody would hear it, so it is not acknowledged."""
    server = serve_process(env={"SCALECHAT_API_KEY": "k"})
    body = b'{"clientId":"bot","Message":"late"}'
    async with rough_peer(server.port) as late, members(server, 2, 0) as every:
        await late.send(
            b"POST /api/rooms/global/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        await late.send(body[:5])
        await _have_asked(server, 1)
        server.process.send_signal(signal.SIGTERM)
        await wait_until(lambda: all(member.closed is not None for member in every), "the drain has begun")
        await late.send(body[5:])
        assert (await late.answer())[0] == 503
    await _ends_well(server)


async def test_nobody_new_comes_in_during_the_drain(serve_process: ServeProcess) -> None:
    """The port is closed first, so whoever comes later goes to the next process at once."""
    server = serve_process("--drain", "3000")
    async with rough_peer(server.port) as busy:
        await busy.send(b"POST /api/rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
        await _have_asked(server, 1)
        server.process.send_signal(signal.SIGTERM)
        await wait_until(lambda: any(line.get("event") == "draining" for line in server.log()), "it drains")
        with pytest.raises(OSError, match="refused"):
            async with rough_peer(server.port):
                pass
    await _ends_well(server)
