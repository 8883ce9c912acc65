"""Metrics in both directions: the server's are read as they stand, our own can be read by the same means."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
import pytest
import trio
from prometheus_client.samples import Sample

from scalechat.config import LoadConfig, OperationalError
from scalechat.load.course import PhaseNumber
from scalechat.load.errors import ErrorLog
from scalechat.load.exposition import LoadCollector, serve_metrics
from scalechat.load.health import Health
from scalechat.load.pacing import monotonic_ns
from scalechat.load.plan import Plan
from scalechat.load.recorder import Recorder
from scalechat.load.scrape import MAX_BODY_BYTES, MetricsPage, NoMetrics, labels_text
from scalechat.load.tally import tally_of

PAGE = b"""# HELP x_seconds How long.
# TYPE x_seconds histogram
x_seconds_bucket{le="0.1"} 3.0
x_seconds_bucket{le="+Inf"} 4.0
x_seconds_count 4.0
x_seconds_sum 0.5
# TYPE up gauge
up{node="a",room="b"} 1.0
"""


@asynccontextmanager
async def answering(answer: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[MetricsPage]:
    """A page that is answered so, for the body."""
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        yield MetricsPage("127.0.0.1", listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


def http(body: bytes, status: str = "200 OK") -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some(4096)
        await stream.send_all(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return answer


async def test_a_scrape_gives_every_sample_of_the_page() -> None:
    """Names, labels and values as the server wrote them."""
    async with answering(http(PAGE)) as page:
        samples = await page.scrape()
    assert [(sample.name, labels_text(sample), sample.value) for sample in samples] == [
        ("x_seconds_bucket", 'le="0.1"', 3.0),
        ("x_seconds_bucket", 'le="+Inf"', 4.0),
        ("x_seconds_count", None, 4.0),
        ("x_seconds_sum", None, 0.5),
        ("up", 'node="a",room="b"', 1.0),
    ]


@pytest.mark.parametrize(
    "body, status, words",
    [
        (b"", "404 Not Found", "HTTP 404"),
        (b"<html>", "200 OK", "not a page of metrics"),
        (b"\xff", "200 OK", "not a page of metrics"),
        (b"x" * (MAX_BODY_BYTES + 1), "200 OK", "more than 4,194,304 bytes"),
    ],
)
async def test_a_target_without_metrics_is_recognised(body: bytes, status: str, words: str) -> None:
    """There is an answer, and it is not a page of metrics."""
    async with answering(http(body, status)) as page:
        with pytest.raises(NoMetrics, match=words):
            await page.scrape()


async def test_something_that_is_no_http_has_no_metrics() -> None:
    """Nor does it raise anything else."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello\r\n\r\n")

    async with answering(answer) as page:
        with pytest.raises(NoMetrics):
            await page.scrape()


def test_the_page_is_beside_the_websocket() -> None:
    """Same host, same port."""
    tls = ssl.create_default_context()
    assert MetricsPage.of("ws://h/ws") == MetricsPage("h", 80)
    assert MetricsPage.of("wss://h:8443/ws?x=1", tls) == MetricsPage("h", 8443, tls)


def measured() -> LoadCollector:
    recorder = Recorder(Plan.of(LoadConfig(), 1), acknowledged=False)
    recorder.join(0)
    recorder.counters.open = 1
    recorder.published(0, size_bytes=56, intended_ns=1_000, sent_ns=2_000_000, due_ns=1_000)
    recorder.end_window()
    errors = ErrorLog()
    errors.note("closed_1006", "x", at_ns=1, phase=PhaseNumber.STEADY)
    health = Health(monotonic_ns)
    health.steady_lag.add(np.array([1_000_000], dtype=np.int64))
    return LoadCollector(lambda: tally_of(recorder, errors, health))


async def our_samples(port: int) -> dict[tuple[str, str | None], float]:
    samples: list[Sample] = await MetricsPage("127.0.0.1", port).scrape()
    return {(sample.name, labels_text(sample)): sample.value for sample in samples}


async def test_our_own_metrics_are_read_like_the_servers() -> None:
    """Under the names the run format gives them."""
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(serve_metrics, measured(), 0)
        samples = await our_samples(port)
        nursery.cancel_scope.cancel()
    assert samples["scalechat_load_connections", None] == 1
    assert samples["scalechat_load_published_total", None] == 1
    assert samples["scalechat_load_deliveries_total", None] == 0
    assert samples["scalechat_load_errors_total", 'kind="connect_refused"'] == 0, "there before the first one"
    assert samples["scalechat_load_delivery_latency_seconds_count", None] == 0
    assert samples["scalechat_load_send_lag_seconds_bucket", 'le="0.0025"'] == 1
    assert samples["scalechat_load_send_lag_seconds_bucket", 'le="0.001"'] == 0
    assert samples["scalechat_load_loop_lag_seconds_count", None] == 1
    assert samples["scalechat_load_errors_total", 'kind="closed_1006"'] == 1


@pytest.mark.parametrize("nonsense", [b"", b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n", b"x" * 100_000])
async def test_no_scraper_disturbs_the_measurement(nonsense: bytes) -> None:
    """Whatever one of them sends, the next one is served."""
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(serve_metrics, measured(), 0)
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(nonsense)
        await stream.aclose()
        assert await our_samples(port)
        nursery.cancel_scope.cancel()


async def test_a_metrics_port_that_is_taken_is_one_line() -> None:
    """The line names the flag."""
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(serve_metrics, measured(), 0)
        with pytest.raises(ExceptionGroup) as group:
            async with trio.open_nursery() as second:
                await second.start(serve_metrics, measured(), port)
        assert group.group_contains(OperationalError, match="choose another one by --metrics-port")
        nursery.cancel_scope.cancel()
