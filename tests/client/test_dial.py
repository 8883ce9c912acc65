"""Every way not to get in is one clear error; the peers here are bytes on a memory stream."""

import socket

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_pair
from trio_websocket import wrap_server_stream

from scalechat.client.chat import open_chat
from scalechat.client.dial import Address, Connect, Ended, connect_tcp, parse_address
from scalechat.client.errors import (
    BadAddress,
    CannotConnect,
    HostNotFound,
    NotAWebSocket,
    Rejected,
    TlsFailed,
    Unreachable,
    WrongProtocol,
)

URL = "ws://chat.test:8080/ws"


def answering(reply: bytes, *, then_close: bool = True) -> Connect:
    """A peer that says `reply` to whatever it is asked."""

    async def connect(address: Address) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        await theirs.send_all(reply)
        if then_close:
            await theirs.send_eof()
        return ours

    return connect


async def failure(reply: bytes, *, then_close: bool = True) -> CannotConnect:
    with pytest.raises(CannotConnect) as caught:
        async with open_chat(URL, connect=answering(reply, then_close=then_close)):
            pytest.fail("let in")
    return caught.value


def http(status: str, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "reply, kind, text",
    [
        (http("401 Unauthorized"), Rejected, "the server wants a valid token (--token)"),
        (
            http("403 Forbidden", "origin not allowed"),
            Rejected,
            "the server does not let this client in (origin not allowed)",
        ),
        (http("400 Bad Request", "bad name"), Rejected, "the server refused the name or the room (bad name)"),
        (http("404 Not Found"), Rejected, "the server has no chat at this path"),
        (http("418 Teapot"), Rejected, "the server refused the connection with HTTP status 418"),
        (
            http("200 OK", "<html>hello"),
            NotAWebSocket,
            "a web server answers at ws://chat.test:8080/ws, but not with a WebSocket",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            NotAWebSocket,
            "what answers at ws://chat.test:8080/ws is not a WebSocket server",
        ),
        (b"", NotAWebSocket, "what answers at ws://chat.test:8080/ws is not a WebSocket server"),
    ],
    ids=["401", "403", "400", "404", "418", "200", "garbage", "nothing"],
)
async def test_each_refusal_is_one_sentence(
    reply: bytes, kind: type[CannotConnect], text: str, autojump_clock: MockClock
) -> None:
    """The status decides; the server's own first line is added when it has one."""
    error = await failure(reply)
    assert type(error) is kind
    assert str(error) == text
    assert error.lasting == (kind is Rejected)


async def test_an_unusual_path_gets_a_hint(autojump_clock: MockClock) -> None:
    """The commonest mistake behind these two statuses."""
    with pytest.raises(Rejected, match=r"; its chat is usually at /ws$"):
        async with open_chat("ws://chat.test/chat", connect=answering(http("404 Not Found"))):
            pytest.fail("let in")


async def test_a_server_that_is_busy_is_worth_another_attempt(autojump_clock: MockClock) -> None:
    """503 passes, and its Retry-After is kept."""
    error = await failure(http("503 Service Unavailable", "", "Retry-After: 7"))
    assert not error.lasting
    assert error.retry_after_ms == 7_000


async def test_an_error_page_is_not_shown_to_a_person(autojump_clock: MockClock) -> None:
    """Markup of some proxy in between is no sentence."""
    assert "<" not in str(await failure(http("502 Bad Gateway", "<h1>oh</h1>")))


async def test_a_peer_that_says_nothing_costs_the_deadline(autojump_clock: MockClock) -> None:
    """Ten seconds for everything together, then one sentence."""
    started_s = trio.current_time()
    error = await failure(b"", then_close=False)
    assert type(error) is Unreachable
    assert str(error) == "no answer from ws://chat.test:8080/ws within 10 s"
    assert trio.current_time() - started_s == pytest.approx(10)


async def test_a_websocket_without_our_subprotocol_is_named(autojump_clock: MockClock) -> None:
    """Any echo server lets us in; speaking is another matter."""

    async def connect(address: Address) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        streams.append(theirs)
        arrived.set()
        return ours

    streams: list[trio.abc.Stream] = []
    arrived = trio.Event()

    async def echo() -> None:
        await arrived.wait()
        async with trio.open_nursery() as inner:
            request = await wrap_server_stream(inner, streams[0])
            await request.accept()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        with pytest.raises(WrongProtocol, match=r"does not speak scalechat\.v1"):
            async with open_chat(URL, connect=connect):
                pytest.fail("let in")


async def test_an_unknown_host_is_named() -> None:
    """Name resolution is the system's; its failure becomes a sentence."""

    class NoNames(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def getnameinfo(self, *_: object) -> tuple[str, str]:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(NoNames())
    with pytest.raises(HostNotFound, match=r"^there is no host named nowhere\.test$"):
        await connect_tcp(parse_address("ws://nowhere.test/ws"))


async def test_a_port_where_nobody_listens_is_named(free_port: int) -> None:
    """The system's own word for it is in the sentence."""
    with pytest.raises(Unreachable) as caught:
        await connect_tcp(parse_address(f"ws://127.0.0.1:{free_port}/ws"))
    assert str(caught.value) == f"nothing answers at ws://127.0.0.1:{free_port}/ws (connection refused)"


async def test_a_server_without_tls_is_named() -> None:
    """wss:// to a plain port: the handshake fails, and nothing stays open."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def plain(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, plain, listeners)
        with pytest.raises(TlsFailed, match=r"no secure connection to wss://127\.0\.0\.1"):
            await connect_tcp(parse_address(f"wss://127.0.0.1:{port}/ws"))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "url, shown, host_header",
    [
        ("ws://localhost:8080/ws", "ws://localhost:8080/ws", "localhost:8080"),
        ("wss://chat.example.org/ws", "wss://chat.example.org:443/ws", "chat.example.org"),
        ("ws://[::1]:9000/ws?token=secret", "ws://[::1]:9000/ws", "[::1]:9000"),
        ("ws://host", "ws://host:80/", "host"),
    ],
)
def test_an_address_shows_no_query(url: str, shown: str, host_header: str) -> None:
    """A token in the URL must not reach an error text."""
    address = parse_address(url)
    assert str(address) == shown
    assert address.host_header == host_header


@pytest.mark.parametrize("url", ["http://x/ws", "ws://", "ws://host:99999/ws", "chat", "ws://[::1/ws"])
def test_what_is_no_websocket_address_is_refused(url: str) -> None:
    """One error, raised before anything is opened."""
    with pytest.raises(BadAddress):
        parse_address(url)


def test_the_request_names_us_and_no_room() -> None:
    """Name and token are quoted; a room of the URL gives way to joins."""
    address = parse_address("ws://h/ws?room=x&via=proxy")
    assert address.resource("älice", "a.b&c") == "/ws?room=&via=proxy&clientId=%C3%A4lice&token=a.b%26c"
    assert address.resource(None, None) == "/ws?room=&via=proxy"


@given(st.text(), st.text())
def test_no_name_can_break_out_of_the_request_line(name: str, path: str) -> None:
    """Whatever the name and path, the request target is printable ASCII without spaces."""
    target = Address(host="h", port=1, tls=False, path="/" + path).resource(
        name.encode(errors="replace").decode(), None
    )
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target


def test_an_end_is_told_in_the_words_of_the_peer_or_of_the_table() -> None:
    """The peer's reason first, then ours, then the number."""
    assert str(Ended(4008, "too slow; retry after 5 ms")) == "too slow; retry after 5 ms"
    assert str(Ended(1006)) == "connection lost"
    assert str(Ended(4999)) == "closed with code 4999"
