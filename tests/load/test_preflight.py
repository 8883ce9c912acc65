"""Before a run: a target that cannot be loaded is one line, and nothing is written."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import MockClock

from scalechat.config import LoadConfig, OperationalError, UsageError
from scalechat.load.connector import TcpConnector
from scalechat.load.preflight import ports_warning, require_files
from scalechat.load.results import ErrorRow, TimeseriesRow, read_run
from scalechat.load.runner import Interruption, run_load

from .broadcaster import Broadcaster
from .lies import Lies
from .worlds import MemoryConnector, memory_connector, printed, virtual_run


async def refuse(stream: trio.abc.Stream) -> None:
    await stream.receive_some(4096)
    await stream.send_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


async def serve_a_page(stream: trio.abc.Stream) -> None:
    await stream.receive_some(4096)
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


async def talk_nonsense(stream: trio.abc.Stream) -> None:
    await stream.receive_some(4096)
    await stream.send_all(b"220 smtp.example.org ESMTP\r\n")


async def speak_something_else(stream: trio.abc.Stream) -> None:
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", await stream.receive_some(4096), re.IGNORECASE)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    await stream.send_all(head + b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n" % accept)
    await trio.sleep_forever()


async def hang_up(stream: trio.abc.Stream) -> None:
    await stream.receive_some(4096)
    await stream.aclose()


async def say_nothing(_stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    "serve, words",
    [
        (refuse, "the server answered HTTP 503 instead of a WebSocket"),
        (serve_a_page, "the server answered HTTP 200 instead of a WebSocket"),
        (speak_something_else, "what the server said breaks the protocol (unrecognized subprotocol mqtt)"),
        (hang_up, "the server closed the connection instead of answering"),
        (say_nothing, "no WebSocket within 10 s"),
        (Broadcaster().serve, "the server does not speak scalechat.v1; try --target plain"),
    ],
)
async def test_a_target_that_is_none_is_said_in_one_line(
    serve: Callable[[trio.abc.Stream], Awaitable[None]], words: str, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """The line names the URL and what there was instead."""
    with pytest.raises(OperationalError) as refused:
        await virtual_run(serve, tmp_path / "runs")
    assert str(refused.value) == f"cannot load ws://localhost:8080/ws: {words}"
    assert not (tmp_path / "runs").exists()


async def test_something_that_is_no_http_is_a_refusal_as_well(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Whatever the protocol library makes of it."""
    with pytest.raises(OperationalError, match="cannot load ws://localhost:8080/ws: "):
        await virtual_run(talk_nonsense, tmp_path)


async def test_an_interruption_before_the_first_connection_writes_nothing(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Exit code 105, and no empty run directory."""
    interruption = Interruption()
    async with memory_connector(say_nothing) as connector, trio.open_nursery() as nursery:

        async def ask() -> None:
            await trio.sleep(1)
            interruption.request()

        nursery.start_soon(ask)
        with pytest.raises(OperationalError) as refused:
            await run_load(LoadConfig(out=tmp_path / "runs"), {}, interruption=interruption, connector=connector)
    assert refused.value.exit_code == 105
    assert not (tmp_path / "runs").exists()


async def test_a_port_where_nobody_listens_is_told_with_what_to_do(free_port: int) -> None:
    """The line says how a server is started."""
    with pytest.raises(OperationalError, match=r"\(connection refused\): is a server running there\?"):
        await TcpConnector.resolve(f"ws://127.0.0.1:{free_port}/ws")


async def test_clients_beyond_what_an_address_may_have_dial_from_the_next_one() -> None:
    """Loopback has many: the first two from 127.0.0.1, the third from 127.0.0.2."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        with trio.fail_after(10):
            url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
            connector = await TcpConnector.resolve(url, clients_per_address=2)
            sources = []
            for client in range(3):
                link = await connector.open(client)
                assert link.sock is not None
                sources.append(link.sock.getsockname()[0])
                await link.stream.aclose()
    assert sources == ["127.0.0.1", "127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_server_with_tls_is_one_whose_certificate_is_trusted(trusted: bool, tmp_path: Path) -> None:
    """`--ca-file` is enough; without it the line says so, and what else can be done."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with trio.open_nursery() as nursery:

        async def page(stream: trio.abc.Stream) -> None:
            with suppress(trio.BrokenResourceError):
                await serve_a_page(stream)

        listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, page, 0, context, host="127.0.0.1"))
        config = LoadConfig(
            server_url=f"wss://127.0.0.1:{listeners[0].transport_listener.socket.getsockname()[1]}/ws",
            ca_file=tmp_path / "ca.pem" if trusted else None,
        )
        with trio.fail_after(10), pytest.raises(OperationalError) as refused:
            await run_load(config, {})
        nursery.cancel_scope.cancel()
    words = str(refused.value)
    if trusted:
        assert "the server answered HTTP 200 instead of a WebSocket" in words
    else:
        assert "nobody trusted here has signed its certificate" in words
        assert words.endswith("--ca-file names a file with who has (--insecure takes it all the same)")


@pytest.mark.parametrize(
    "host, clients, ports, lacking",
    [
        ("127.0.0.1", 100, 50, 0),  # 40 an address
        ("127.0.0.1", 100, 30, 20),  # ten too many at each full address
        ("127.0.0.1", 100, None, 0),
        ("192.0.2.1", 100, 50, 50),  # a machine has one address to others
        ("192.0.2.1", 50, 50, 0),
    ],
)
def test_clients_without_a_port_are_known_beforehand(host: str, clients: int, ports: int | None, lacking: int) -> None:
    """By arithmetic: each connection of one address to one server needs a port of its own."""
    connector = TcpConnector(f"ws://{host}/ws", socket.AF_INET, (host, 80), None, clients_per_address=40)
    assert connector.without_port(clients, ports) == lacking


async def test_a_run_that_lacked_ports_is_invalid_and_counts_them(autojump_clock: MockClock, tmp_path: Path) -> None:
    """The server is not blamed, although it got fewer clients; the tables have every failure."""

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        connector.without_port = range(6, 10)

    server = Broadcaster()
    outcome = await virtual_run(server.serve, tmp_path, meanwhile=meanwhile, target="plain", clients=10)
    assert (outcome.summary.verdict, outcome.exit_code) == ("invalid", 97)
    (reason,) = outcome.summary.validity.reasons
    assert reason.code == "generator_connections"
    assert reason.text.startswith("connections that failed on the load client's own machine: 4 (cannot assign")
    assert "! 4 of 10 clients never connected\n" in printed(outcome)
    rows = list(read_run(outcome.run_dir).rows(TimeseriesRow))
    assert (rows[-1].connect_failures_other_total, max(row.connections_open for row in rows)) == (4, 6)
    assert [row.kind for row in read_run(outcome.run_dir).rows(ErrorRow)] == ["connect_local"]


async def test_what_connections_failed_for_is_told_at_the_end(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Also to somebody who saw no progress; a server may turn people away, so the run stays believed."""
    outcome = await virtual_run(Broadcaster(lies=Lies(refuse=1.0)).serve, tmp_path, target="plain", clients=4)
    assert outcome.summary.validity.valid
    assert "! connections that did not come about: 4 (" in printed(outcome)
    assert "); 4 of 4 clients never connected\n" in printed(outcome)


async def test_who_comes_back_in_vain_had_been_there(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Dials that fail after a connection was lost are connections that did not come about, and nobody's absence."""
    server = Broadcaster(lies=Lies(kills=(2.0,)))

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        await trio.sleep(1.5)
        connector.without_port = range(4)
        await server.misbehave()

    outcome = await virtual_run(server.serve, tmp_path, meanwhile=meanwhile, target="plain", clients=4)
    (reason,) = outcome.summary.validity.reasons
    assert reason.code == "generator_connections"
    assert outcome.failed_dials is None


def test_ports_that_will_not_do_are_a_line() -> None:
    """No machine has a million of them; a few are always there."""
    connector = TcpConnector("ws://192.0.2.1/ws", socket.AF_INET, ("192.0.2.1", 80), None)
    assert (ports_warning(connector, 1_000_000) or "").endswith("lower --clients-per-address")
    assert ports_warning(connector, 1) is None


async def test_a_name_nobody_has_is_told() -> None:
    """`.invalid` never resolves (RFC 2606)."""
    with pytest.raises(OperationalError, match=r"cannot resolve 'nobody\.invalid'"):
        await TcpConnector.resolve("ws://nobody.invalid/ws")


def test_more_clients_than_open_files_are_refused_before_anything_is_opened() -> None:
    """With the number that would be needed."""
    with pytest.raises(UsageError, match=r"100000000 clients need 100000064 open files"):
        require_files(100_000_000)
