"""What a peer does to its connection stays in it."""

import errno

import h11
import pytest
import structlog
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, memory_stream_pair
from trio_websocket import wrap_server_stream

from scalechat.server import fence
from scalechat.server.fence import kind_of, run_fenced
from scalechat.server.metrics import CONNECTION_ERRORS, Counters
from scalechat.server.transport import FrameFlood

from ..rough import request


@pytest.fixture(autouse=True)
def _fresh_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger that no other test's configuration has been cached in."""
    monkeypatch.setattr(fence, "log", structlog.get_logger())


def counted(counters: Counters) -> dict[str, int]:
    return {kind: count for kind, count in counters.connection_errors.items() if count}


async def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error, kind",
    [
        (OSError(errno.ECONNRESET, "reset"), "io"),
        (trio.BrokenResourceError(), "io"),
        (trio.ClosedResourceError(), "io"),
        (FrameFlood("too many"), "flood"),
        (ZeroDivisionError(), "bug"),
        (RecursionError(), "bug"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "bug"),
    ],
)
async def test_an_exception_ends_here_and_is_counted_by_kind(error: Exception, kind: str) -> None:
    """Nothing comes out; what is no peer's doing is a bug and says where it happened."""
    counters = Counters()
    with capture_logs() as logs:
        await run_fenced(lambda: _raise(error), counters)
    assert counted(counters) == {kind: 1}
    assert kind in CONNECTION_ERRORS
    (line,) = logs
    if kind == "bug":
        assert line["event"] == "bug in a connection"
        assert line["log_level"] == "error"
        assert line["exc_info"] is error
        assert line["at"].startswith(f"{__name__}:")
    else:
        assert (line["event"], line["log_level"], line["kind"]) == ("connection dropped", "debug", kind)


async def test_a_good_connection_leaves_no_trace() -> None:
    """No count, no line."""
    counters = Counters()
    with capture_logs() as logs:
        await run_fenced(trio.lowlevel.checkpoint, counters)
    assert (counted(counters), logs) == ({}, [])


def test_what_a_protocol_library_raises_is_its_peers_doing() -> None:
    """The innermost frame decides: h11 raising at hostile bytes is no bug of ours."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"nonsense\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError) as caught:
        connection.next_event()
    assert kind_of(caught.value) == "protocol"
    assert kind_of(h11.RemoteProtocolError("made by us")) == "bug"


async def test_errors_of_several_tasks_are_each_counted() -> None:
    """Groups within groups, as nested nurseries raise them."""
    counters = Counters()

    async def connection() -> None:
        async with trio.open_nursery() as outer:
            outer.start_soon(_raise, ZeroDivisionError())
            async with trio.open_nursery() as inner:
                inner.start_soon(_raise, trio.BrokenResourceError())
                inner.start_soon(_raise, FrameFlood("too many"))

    await run_fenced(connection, counters)
    assert counted(counters) == {"bug": 1, "io": 1, "flood": 1}


async def test_cancellation_passes_and_is_no_error(autojump_clock: MockClock) -> None:
    """Alone, and together with errors: those are counted, and the one who cancelled gets it back."""
    counters = Counters()

    async def falls_apart_when_cancelled() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ZeroDivisionError

    with trio.move_on_after(1) as scope:
        await run_fenced(trio.sleep_forever, counters)
    assert scope.cancelled_caught
    assert counted(counters) == {}
    with trio.move_on_after(1) as scope:
        await run_fenced(falls_apart_when_cancelled, counters)
    assert scope.cancelled_caught
    assert counted(counters) == {"bug": 1}


async def test_what_ends_the_process_passes() -> None:
    """Ctrl-C and exit are no peer's business."""
    for error in (KeyboardInterrupt(), SystemExit(3)):

        async def connection(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            await run_fenced(connection, Counters())


@pytest.mark.parametrize(
    "header, value",
    [
        ("Connection", "Upgrade, \xe9"),
        ("Sec-WebSocket-Protocol", "\xe9"),
        ("Sec-WebSocket-Extensions", "\xe9"),
        ("Host", "\xe9"),
    ],
)
async def test_the_library_raises_at_bytes_that_are_not_ascii_and_it_is_not_our_bug(header: str, value: str) -> None:
    """trio-websocket's reader dies of these headers: the reason why there is a fence."""
    counters = Counters()
    ours, theirs = memory_stream_pair()

    async def connection() -> None:
        async with trio.open_nursery() as nursery:
            await wrap_server_stream(nursery, theirs)

    await ours.send_all(request(headers={header: value}))
    await run_fenced(connection, counters)
    assert counted(counters) == {"protocol": 1}
