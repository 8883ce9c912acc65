"""One port for everything: real sockets on loopback, a whole node behind them."""

import socket
import struct
from contextlib import AsyncExitStack, ExitStack

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import ServeConfig
from scalechat.server import listener
from scalechat.server.listener import HTTP_RESERVE, MAX_HEAD_BYTES, asks_for_websocket, bind, dropped_by

from ..patience import wait_until
from ..rough import RoughPeer, plain, request, rough_peer
from .running import running

GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


# --- who gets it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head, is_websocket",
    [
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket", True),
        (b"GET /ws?room=tea HTTP/1.1\r\nHost: x\r\nupgrade:WebSocket", True),
        (b"GET /ws HTTP/1.1\r\nUPGRADE:   websocket", True),
        (b"GET /ws HTTP/1.1\r\nUpgrade: h2c", False),
        (b"GET /ws HTTP/1.1\r\nX-Upgrade: websocket", False),
        (b"GET /ws HTTP/1.1\r\nHost: x", False),
        (b"GET /wsx HTTP/1.1\r\nUpgrade: websocket", False),
        (b"GET /ws/ HTTP/1.1\r\nUpgrade: websocket", False),
        (b"POST /ws HTTP/1.1\r\nUpgrade: websocket", False),
        (b"GET ", False),
        (b"", False),
    ],
)
def test_a_websocket_is_a_get_of_ws_that_asks_to_upgrade(head: bytes, is_websocket: bool) -> None:
    """Method, path and header decide, in any letter case; everything else is HTTP."""
    assert asks_for_websocket(head) is is_websocket


@given(st.binary(max_size=200), st.sampled_from([b"", b"GET ", b"GET /ws ", b"GET /ws HTTP/1.1\r\n"]))
def test_any_bytes_may_be_asked_about(data: bytes, start: bytes) -> None:
    """Deciding never raises."""
    assert asks_for_websocket(start + data) in (True, False)


def test_what_the_kernel_drops_is_counted() -> None:
    """Nobody accepts and the queue is as short as can be: of eight connections most are dropped, without a word."""
    with ExitStack() as stack:
        (listening,) = (stack.enter_context(sock) for sock in bind("127.0.0.1", 0, backlog=1))
        assert dropped_by(listening) == 0
        for _ in range(8):
            peer = stack.enter_context(socket.socket())
            peer.setblocking(False)
            peer.connect_ex(listening.getsockname())
        assert dropped_by(listening) >= 4


async def test_a_websocket_and_http_share_the_port() -> None:
    """Both are served, both are counted as what they are."""
    async with running() as server, server.peer() as websocket:
        await websocket.enter("/ws?clientId=a")
        await websocket.send(plain("a", "hello"))
        assert (await websocket.hear())["Message"] == "hello"
        assert (await server.fetch("/healthz")).json == {"status": "ok"}
        assert server.node.counters.accepts == {"websocket": 1, "http": 1}


@pytest.mark.parametrize("data", [request("/ws?clientId=a"), GET], ids=["websocket", "http"])
async def test_a_request_may_arrive_byte_by_byte(data: bytes) -> None:
    """Where the network cuts the head changes nothing."""
    async with running() as server, server.peer() as peer:
        for byte in data:
            await peer.send(bytes([byte]))
            await trio.lowlevel.checkpoint()
        assert (await peer.answer())[0] == (101 if b"Upgrade" in data else 200)


async def test_a_websocket_request_with_too_large_a_head_is_refused() -> None:
    """`MAX_HEAD_BYTES` bound what is read before anybody is served."""
    async with running() as server:
        for size, statuses in ((MAX_HEAD_BYTES - 400, (101,)), (2 * MAX_HEAD_BYTES, (403, 431))):
            async with server.peer() as peer:
                await peer.send(request("/ws?clientId=a", {"Cookie": "c" * size}))
                assert (await peer.answer())[0] in statuses


async def test_an_upgrade_of_another_path_is_not_found() -> None:
    """There is one chat, and whoever knocks elsewhere is told so and counted."""
    async with running() as server, server.peer() as peer:
        await peer.send(request("/chat?clientId=a"))
        assert (await peer.answer())[0] == 404
        assert server.node.counters.refusals["wrong_path"] == 1


async def test_every_head_has_the_handshakes_deadline() -> None:
    """Also one that will never be a WebSocket's."""
    async with running(ServeConfig(handshake_timeout_s=0.2)) as server, server.peer() as peer:
        await peer.send(b"POST /api/rooms/global/messages HTTP/1.1\r\nHost: x\r\n")
        assert await peer.at_eof()
        assert server.node.counters.refusals["handshake_timeout"] == 1


async def test_an_unfinished_head_ends_at_the_handshake_deadline() -> None:
    """Silent from the start, or after half a head, or dripping it for ever: closed and counted."""
    async with running(ServeConfig(handshake_timeout_s=0.2)) as server:
        async with server.peer() as silent, server.peer() as half, server.peer() as dripping:
            await half.send(request()[:40])
            async with trio.open_nursery() as nursery:

                async def drip() -> None:
                    for byte in request()[:40] + b"a" * 1000:
                        await dripping.send(bytes([byte]))
                        await trio.sleep(0.01)

                nursery.start_soon(drip)
                for peer in (silent, half, dripping):
                    assert await peer.at_eof()
                nursery.cancel_scope.cancel()
        await wait_until(lambda: server.node.admission.connections == 0, "all three are over")
        assert server.node.counters.refusals["handshake_timeout"] == 3


# --- peers that go --------------------------------------------------------------------------------------------------


async def test_a_connection_that_never_asks_for_anything_is_counted() -> None:
    """A port scan: connect and close; connect and reset."""
    async with running() as server:
        counters = server.node.counters
        async with server.peer():
            pass
        await wait_until(lambda: counters.refusals["no_request"] == 1, "the close is counted")
        await _reset(server.port, b"")
        await wait_until(lambda: counters.connection_errors["io"] == 1, "the reset is counted")
        assert server.node.admission.connections == 0


@pytest.mark.parametrize(
    "data", [GET, request(), b"garbage", request() + b"\x81"], ids=["http", "ws", "garbage", "early"]
)
async def test_a_peer_that_resets_disturbs_nobody(data: bytes) -> None:
    """RST behind any beginning ends that connection and no other."""
    async with running() as server, server.peer() as witness:
        await witness.enter("/ws?clientId=w")
        for _ in range(5):
            await _reset(server.port, data)
        await wait_until(lambda: server.node.admission.connections == 1, "only the witness is left")
        await witness.send(plain("w", "served"))
        assert (await witness.hear())["Message"] == "served"
        assert server.node.counters.connection_errors["bug"] == 0


async def _reset(port: int, data: bytes) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if data:
        await stream.send_all(data)
    await stream.aclose()


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_a_full_server_still_answers_its_probes() -> None:
    """Above the cap clients are turned away, and health and metrics are there: that is when they are looked at."""
    async with running(ServeConfig(max_connections=2)) as server, server.peer() as one, AsyncExitStack() as stack:
        await one.enter("/ws?clientId=a")
        assert (await server.fetch("/readyz")).json == {"status": "ready"}
        two = await stack.enter_async_context(server.peer())
        await two.enter("/ws?clientId=b")
        assert (await server.fetch("/healthz")).status == 200
        assert b"scalechat_connections" in (await server.fetch("/metrics")).body
        full = await server.fetch("/readyz")
        assert (full.status, full.json) == (503, {"status": "at the connection limit"})
        async with server.peer() as three:
            await three.enter("/ws?clientId=c")
            assert (await three.ended()).code == 4010


async def test_probes_above_the_cap_are_bounded_as_well() -> None:
    """The reserve for HTTP is a number too: beyond it the answer is 503 with a time."""
    async with running(ServeConfig(max_connections=1)) as server, server.peer() as only:
        await only.enter("/ws?clientId=a")
        peers = [RoughPeer(await trio.open_tcp_stream("127.0.0.1", server.port)) for _ in range(HTTP_RESERVE + 1)]
        statuses = []
        for peer in peers:
            await peer.send(GET)
            statuses.append((await peer.answer())[0])
        assert statuses == [200] * HTTP_RESERVE + [503]
        for peer in peers:
            await peer.aclose()
        assert server.node.counters.refusals["max_connections"] == 1


async def test_http_counts_for_the_cap_of_its_address() -> None:
    """One address cannot take more by another protocol."""
    async with running(ServeConfig(max_connections_per_address=1)) as server, server.peer() as only:
        await only.enter("/ws?clientId=a")
        busy = await server.fetch("/healthz")
        assert (busy.status, busy.headers["retry-after"]) == (503, "5")
        assert server.node.counters.refusals["max_connections_per_address"] == 1


# --- sockets --------------------------------------------------------------------------------------------------------


async def test_a_name_with_two_families_gets_one_port() -> None:
    """`localhost` listens on 127.0.0.1 and ::1 under the same number, so whichever a client tries is served."""
    sockets = bind("localhost", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        families = {info[0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        assert {sock.family for sock in sockets} == families
    finally:
        for sock in sockets:
            sock.close()


def test_the_kernel_holds_no_more_for_a_client_than_it_was_told_to() -> None:
    """Accepted sockets have the listener's send buffer; the kernel doubles the number for its own bookkeeping."""
    (listening,) = bind("127.0.0.1", 0, backlog=1, send_buffer_bytes=16_384)
    with listening, socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 16_384


def test_a_port_that_is_taken_leaves_no_socket_open() -> None:
    """The error comes out and nothing stays bound."""
    (taken,) = bind("127.0.0.1", 0)
    with taken, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", taken.getsockname()[1])


async def test_when_accepting_ends_the_port_is_free_and_connections_go_on() -> None:
    """The first step of going away."""
    async with running() as server, server.peer() as peer:
        await peer.enter("/ws?clientId=a")
        server.accepting.cancel()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", server.port)
        (again,) = bind("127.0.0.1", server.port)
        again.close()
        await peer.send(plain("a", "still here"))
        assert (await peer.hear())["Message"] == "still here"


async def test_a_wave_of_connections_is_served_to_the_last() -> None:
    """More than one accept burst at the same moment."""
    async with running() as server:
        count = 2 * listener.ACCEPT_BURST + 10
        served = 0

        async def visit() -> None:
            nonlocal served
            async with rough_peer(server.port) as peer:
                await peer.send(GET)
                assert (await peer.answer())[0] == 200
            served += 1

        async with trio.open_nursery() as visitors:
            for _ in range(count):
                visitors.start_soon(visit)
        assert served == count
        await wait_until(lambda: server.node.admission.connections == 0, "every visitor has left")
