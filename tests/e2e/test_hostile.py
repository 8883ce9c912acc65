"""Everything a network throws at an open port, one after the other, at one real server.

After each a witness that was there before is still served, a newcomer is served, the visit has been counted, and the
log tells of no bug and holds no traceback.
"""

import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import pytest
import trio

from ..conftest import ServeProcess, ServerProcess
from ..patience import wait_until_async
from ..rough import BINARY, CLOSE, CONTINUATION, PING, TEXT, RoughPeer, frame, plain, request, rough_peer, said
from .scrape import prober

SIZE = 1000
"""The largest message, in bytes."""


@pytest.fixture(scope="module")
def server(shared_serve_process: ServeProcess) -> ServerProcess:
    return shared_serve_process(
        "--max-message-size", str(SIZE), "--handshake-timeout", "0.5", "--log-level", "debug", "--log-period", "3600"
    )


@dataclass(frozen=True, slots=True)
class Visit:
    """What a hostile peer does, and the counters of which one has to grow."""

    name: str
    counted: str
    """Labels of ``/metrics``: ``refusals:origin closes:lost``."""
    sends: Sequence[bytes] = ()
    inside: bool = False
    """After a good handshake."""
    ending: Literal["wait", "leave", "reset"] = "wait"
    """Until the server ends it, or go, or go with RST."""


HTTP = "accepts:http"
WAITS = "refusals:handshake_timeout"
REFUSED = "refusals:bad_request"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(190)
ENDLESS = b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + bytes(4) + b"x" * (SIZE + 1)

OUTSIDE = [
    Visit("connects and leaves", "refusals:no_request", ending="leave"),
    Visit("connects and resets", "errors:io refusals:no_request", ending="reset"),
    Visit("says nothing", WAITS),
    Visit("asks over HTTP and resets", "accepts:http errors:io", [GET], ending="reset"),
    Visit("asks a thousand times without reading and resets", "accepts:http errors:io", [GET * 1000], ending="reset"),
    Visit("sends garbage", HTTP, [b"\xde\xad\xbe\xef" * 100], ending="leave"),
    Visit("sends garbage and resets", "accepts:http errors:io", [b"\xde\xad\xbe\xef" * 100], ending="reset"),
    Visit("sends zeros", HTTP, [bytes(10_000)]),
    Visit("sends a line without an end", HTTP, [b"A" * 40_000]),
    Visit("speaks TLS", HTTP, [CLIENT_HELLO]),
    Visit("speaks HTTP/2", HTTP, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)]),
    Visit("speaks SSH", HTTP, [b"SSH-2.0-OpenSSH_9.2\r\n"], ending="leave"),
    Visit("speaks SMTP", HTTP, [b"EHLO example.org\r\n"], ending="leave"),
    Visit("speaks the PROXY protocol", HTTP, [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request()]),
    Visit("wants a tunnel", HTTP, [b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n"], ending="leave"),
    Visit("wants all options", HTTP, [b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"], ending="leave"),
    Visit("announces an endless body", HTTP, [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\nx"]),
    Visit(
        "sends a body in pieces", HTTP, [b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"]
    ),
    Visit(
        "smuggles",
        HTTP,
        [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ),
    Visit("stops in the handshake", WAITS, [request()[:60]]),
    Visit("leaves in the handshake", HTTP, [request()[:60]], ending="leave"),
    Visit("resets in the handshake", "errors:io accepts:http", [request()[:60]], ending="reset"),
    Visit("drips its handshake", WAITS, [bytes([byte]) for byte in request()[:30]]),
    Visit("sends too large a head", HTTP, [request(headers={"Cookie": "c" * 40_000})]),
    Visit("sends a wide header", REFUSED, [request(headers={"X": " " * 15_000 + "\x01"})]),
    Visit("has a foreign Connection header", REFUSED, [request(headers={"Connection": "Upgrade, \xe9"})]),
    Visit("has a foreign subprotocol", REFUSED, [request(headers={"Sec-WebSocket-Protocol": "\xe9"})]),
    Visit("has a foreign extension", REFUSED, [request(headers={"Sec-WebSocket-Extensions": "\xe9"})]),
    Visit("has a foreign Host", REFUSED, [request(headers={"Host": "\xe9"})]),
    Visit("has no key", REFUSED, [request(headers={"Sec-WebSocket-Key": ""})]),
    Visit("has two keys", REFUSED, [request(headers={"X": "y\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw=="})]),
    Visit("speaks an old version", REFUSED, [request(headers={"Sec-WebSocket-Version": "8"})]),
    Visit("speaks HTTP/1.0", REFUSED, [request().replace(b"HTTP/1.1", b"HTTP/1.0")]),
    Visit("folds a header", REFUSED, [request(headers={"X": "y\r\n z"})]),
    Visit("announces a body with its handshake", REFUSED, [request(headers={"Content-Length": "10"})]),
    Visit("comes from another site", "refusals:origin", [request(headers={"Origin": "https://elsewhere.example"})]),
    Visit("has a bad name", "refusals:bad_name", [request("/ws?clientId=%00")]),
    Visit(
        "has a wild query",
        "refusals:bad_name refusals:bad_request",
        [request("/ws?history=%F0%9F%98%80&room=%FF&" + "a&" * 5000)],
    ),
    Visit("asks to come in and resets", "accepts:websocket", [request()], ending="reset"),
    Visit("sends megabytes before its answer", "errors:flood", [request(), bytes(2**20)]),
]

INSIDE = [
    Visit("resets", "closes:lost errors:io", ending="reset", inside=True),
    Visit("leaves without a word", "closes:lost", ending="leave", inside=True),
    Visit("pings after its close", "closes:no_code", [frame(CLOSE) + frame(PING) * 3], inside=True),
    Visit("closes a hundred times", "closes:normal", [frame(CLOSE, b"\x03\xe8") * 100], inside=True),
    Visit("closes with a forbidden code", "closes:protocol_error", [frame(CLOSE, b"\x03\xee")], inside=True),
    Visit("closes with half a code", "closes:protocol_error", [frame(CLOSE, b"\x03")], inside=True),
    Visit("sends too much and pings", "closes:too_large", [frame(TEXT, b"x" * (SIZE + 1)) + frame(PING)], inside=True),
    Visit("sends too many bytes", "closes:too_large", [plain("a", "ó" * (SIZE // 2))], inside=True),
    Visit("announces an endless frame", "closes:too_large", [ENDLESS], inside=True),
    Visit(
        "sends empty fragments",
        "errors:flood",
        [frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 5000],
        inside=True,
    ),
    Visit(
        "sends tiny fragments",
        "errors:flood",
        [
            frame(TEXT, b"{", fin=False)
            + frame(CONTINUATION, b" ", fin=False) * 999
            + frame(CONTINUATION, fin=False) * 500
        ],
        inside=True,
    ),
    Visit("floods with pings", "errors:flood", [frame(PING, b"x" * 125) * 2000], inside=True),
    Visit("floods with pongs", "errors:flood", [frame(0xA) * 5000], inside=True),
    Visit("sends no UTF-8", "closes:bad_utf8", [frame(TEXT, b"\xc0\xaf")], inside=True),
    Visit(
        "sends no UTF-8 in fragments",
        "closes:bad_utf8",
        [frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x28")],
        inside=True,
    ),
    Visit("does not mask", "closes:protocol_error", [frame(TEXT, b"{}", masked=False)], inside=True),
    Visit("sets reserved bits", "closes:protocol_error", [frame(TEXT, b"{}", rsv=7)], inside=True),
    Visit("uses a reserved opcode", "closes:protocol_error", [frame(0xF, b"{}")], inside=True),
    Visit("continues nothing", "closes:protocol_error", [frame(CONTINUATION, b"{}")], inside=True),
    Visit("sends binary", "closes:binary", [frame(BINARY, bytes(100))], inside=True),
    Visit("speaks HTTP again", "closes:protocol_error", [GET], inside=True),
    Visit("sends wrong JSON", "messages:bad", [frame(TEXT, b'{"clientId":')], inside=True),
    Visit("nests deeply", "messages:bad", [frame(TEXT, b"[" * SIZE)], inside=True),
    Visit(
        "sends a lone surrogate", "messages:bad", [frame(TEXT, b'{"clientId":"a","Message":"\\ud83d"}')], inside=True
    ),
    Visit("sends a huge number", "messages:bad", [frame(TEXT, b'{"clientId":' + b"9" * 900 + b"}")], inside=True),
    Visit("speaks under another name", "messages:bad", [said(clientId="witness", Message="x")], inside=True),
    Visit("talks too fast", "closes:rate_limit", [plain("a", "x") * 500], inside=True),
    Visit("stops in a frame", "closes:lost", [plain("a", "hello")[:-3]], ending="leave", inside=True),
    Visit("resets in a frame", "closes:lost errors:io", [plain("a", "hello")[:-3]], ending="reset", inside=True),
    Visit("never ends its fragments", "closes:lost", [frame(TEXT, b"{", fin=False)], ending="leave", inside=True),
]


@pytest.mark.parametrize("visit", OUTSIDE + INSIDE, ids=lambda visit: visit.name.replace(" ", "-"))
async def test_a_hostile_peer_is_counted_and_disturbs_nobody(server: ServerProcess, visit: Visit) -> None:
    """The witness and a newcomer are served, one of the named counters has grown, and the log is clean."""
    async with _client(server.port, "witness") as witness, prober(server.port) as probe:
        before = await probe.counts()
        await _receive(server.port, visit)

        async def counted() -> bool:
            now = await probe.counts()
            return any(now[label] > before[label] for label in visit.counted.split())

        await wait_until_async(counted, f"{visit.counted} counts that somebody {visit.name}")
        async with _client(server.port, "newcomer") as newcomer:
            await newcomer.send(plain("newcomer", visit.name))
            assert await _hears(newcomer, visit.name)
            assert await _hears(witness, visit.name)
        assert (await probe.counts())["errors:bug"] == 0
    assert server.process.poll() is None
    assert [line for line in server.log() if line.get("level") not in ("info", "debug")] == []


async def test_nothing_of_them_remains(server: ServerProcess) -> None:
    """Descriptors and tasks are those of a server that was just started and is asked one thing."""
    async with prober(server.port) as probe:

        async def quiet() -> bool:
            gauges = await probe.values()
            return (
                gauges["scalechat_members"] == gauges["scalechat_queue_bytes"] == 0
                and gauges["scalechat_tasks"] < 20
                and gauges["process_open_fds"] < 20
            )

        await wait_until_async(quiet, "every connection but this one is over")


async def _receive(port: int, visit: Visit) -> None:
    async with rough_peer(port) as peer:
        try:
            if visit.inside:
                await peer.enter("/ws?clientId=a")
            for part in visit.sends:
                await peer.send(part)
            if visit.ending == "wait":
                await _read_to_end(peer)
        except trio.BrokenResourceError:
            pass  # The server had enough before we were done.
        if visit.ending == "reset":
            assert isinstance(peer.stream, trio.SocketStream)
            peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _read_to_end(peer: RoughPeer) -> None:
    with trio.fail_after(20):
        while await peer.stream.receive_some():
            pass


@asynccontextmanager
async def _client(port: int, name: str) -> AsyncIterator[RoughPeer]:
    async with rough_peer(port) as peer:
        await peer.enter(f"/ws?clientId={name}")
        yield peer


async def _hears(peer: RoughPeer, text: str) -> bool:
    while (heard := await peer.hear())["Message"] != text:
        assert heard["Message"] in ("x", "hello")  # What hostile peers said before they misbehaved.
    return True
