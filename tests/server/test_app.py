"""The composition root in this process: what it reports, what it owns, and that it gives everything back."""

import gc
import json
import os
import resource
import signal
import socket
from collections.abc import Iterator

import pytest
import structlog
import trio

from scalechat.config import OperationalError, ServeConfig
from scalechat.server import app, fence, figures, http_service, listener, node
from scalechat.server.app import Bound, serve

from ..rough import Closed, plain, rough_peer

EPHEMERAL = ServeConfig(port=0, log_format="json")


@pytest.fixture(autouse=True)
def _own_loggers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`serve` configures the process's logging for good: here only until the test ends."""
    for module in (app, fence, figures, http_service, listener, node):
        monkeypatch.setattr(module, "log", structlog.get_logger("scalechat.server"))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "bound, http_url, ws_url",
    [
        (Bound("127.0.0.1", 80), "http://127.0.0.1:80", "ws://127.0.0.1:80/ws"),
        (Bound("::1", 8080), "http://[::1]:8080", "ws://[::1]:8080/ws"),
        (Bound("localhost", 1), "http://localhost:1", "ws://localhost:1/ws"),
    ],
)
def test_where_it_listens_is_told_as_urls(bound: Bound, http_url: str, ws_url: str) -> None:
    """IPv6 addresses in brackets."""
    assert (bound.http_url, bound.ws_url) == (http_url, ws_url)


async def test_it_reports_its_port_once_clients_can_come(capfd: pytest.CaptureFixture[str]) -> None:
    """The first line of the log names the URL, and a connection made then is served."""
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve, EPHEMERAL)
        async with rough_peer(bound.port) as peer:
            await peer.enter("/ws?clientId=a")
            await peer.send(plain("a", "hello"))
            assert (await peer.hear())["Message"] == "hello"
        nursery.cancel_scope.cancel()
    first = json.loads(capfd.readouterr().err.splitlines()[0])
    assert (first["event"], first["url"]) == ("listening", bound.http_url)
    assert first["file_limit"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert first["max_connections"] <= first["file_limit"]
    assert first["max_connections_from"] in {"open files", "memory"}


async def test_cancelled_it_closes_everything_at_once_and_gives_back_what_it_took() -> None:
    """No drain: connections are cut, and signals, collector hooks and the port are as they were before."""
    before = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), list(gc.callbacks))
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve, EPHEMERAL)
        async with rough_peer(bound.port) as one, rough_peer(bound.port) as two:
            await one.enter("/ws?clientId=a")
            await two.enter("/ws?clientId=b", v1=True)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await one.ended() == Closed(1006, "")
                assert await two.ended() == Closed(1006, "")
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), list(gc.callbacks))
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((bound.host, bound.port))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_it_return(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    """With nobody connected at once; the last line sums up."""
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, EPHEMERAL)
        os.kill(os.getpid(), number)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["listening", "draining", "stopped"]


async def test_a_port_that_is_taken_is_one_line_that_says_what_to_do() -> None:
    """The user's surroundings, not our bug."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperationalError, match=rf"^port {port} is taken; .*--port") as caught:
            await serve(ServeConfig(port=port))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
async def test_an_address_that_is_not_ours_is_one_line(host: str) -> None:
    """A name that does not resolve, an address of another machine."""
    with pytest.raises(OperationalError, match=rf"^cannot listen on {host}:"):
        await serve(ServeConfig(host=host, port=0))
