"""The load client's own ``/metrics`` (``--metrics-port``), for a Prometheus that watches long runs.

A collector looks at the run when it is asked; nothing is counted twice. The page is served by a listener of a few
lines, each connection inside a fence, because it must never disturb a measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import h11
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from scalechat.config import OperationalError
from scalechat.load.errors import USUAL
from scalechat.load.histogram import Histogram
from scalechat.load.tally import Tally

_EDGES_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MAX_SCRAPERS: Final = 8
"""Prometheus keeps one connection; more than a few at a time is no monitoring."""
_REQUEST_S: Final = 5.0

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class LoadCollector(Collector):
    """The `scalechat_load_…` metrics of a run, whether of one process or of several."""

    def __init__(self, look: Callable[[], Tally], workers: Callable[[], Mapping[int, bool]] | None = None) -> None:
        """`workers`: of each process of several whether it takes part."""
        self._look = look
        self._workers = workers

    def collect(self) -> Iterable[Family]:
        """What Prometheus asks for."""
        tally = self._look()
        yield GaugeMetricFamily("scalechat_load_connections", "Connections that are open.", value=tally.connections)
        yield CounterMetricFamily("scalechat_load_published", "Messages handed to a socket.", value=tally.published)
        yield CounterMetricFamily("scalechat_load_deliveries", "First deliveries received.", value=tally.delivered)
        yield _histogram(
            "scalechat_load_delivery_latency_seconds",
            "From the intended time to each recipient, all phases.",
            tally.delivery,
        )
        yield _histogram(
            "scalechat_load_send_lag_seconds",
            "How late the load client itself sent, all phases.",
            tally.send_lag,
        )
        yield _histogram(
            "scalechat_load_loop_lag_seconds",
            "Scheduling delay of the load client in the measured phase.",
            tally.loop_lag,
        )
        errors = CounterMetricFamily("scalechat_load_errors", "Errors by kind.", labels=["kind"])
        for kind in dict.fromkeys((*USUAL, *tally.errors)):
            errors.add_metric([kind], tally.errors.get(kind, 0))
        yield errors
        if self._workers is not None:
            up = GaugeMetricFamily(
                "scalechat_load_worker_up", "1 for a load process that takes part.", labels=["worker"]
            )
            for worker, takes_part in self._workers().items():
                up.add_metric([str(worker)], takes_part)
            yield up


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    buckets = [(str(edge), float(histogram.count_up_to(int(edge * 1e9)))) for edge in _EDGES_S]
    buckets.append(("+Inf", float(histogram.count)))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum_ns / 1e9)


async def serve_metrics(collector: Collector, port: int, *, task_status: trio.TaskStatus[int]) -> None:
    """Serve ``GET /metrics`` on all addresses until cancelled; started with the port.

    Raises:
        OperationalError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    slots = trio.CapacityLimiter(_MAX_SCRAPERS)

    async def answer(stream: trio.SocketStream) -> None:
        try:
            with trio.move_on_after(_REQUEST_S):
                async with slots:
                    await _answer(stream, registry)
        except (h11.ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # A scraper's trouble is its own.
        finally:
            await trio.aclose_forcefully(stream)

    try:
        listeners = await trio.open_tcp_listeners(port)
    except OSError as error:
        raise OperationalError(
            f"cannot serve metrics on port {port} ({error.strerror}): choose another one by --metrics-port"
        ) from error
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(answer, listeners)


async def _answer(stream: trio.SocketStream, registry: CollectorRegistry) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(4096))
    if not isinstance(event, h11.Request):
        return
    found = event.method == b"GET" and event.target.partition(b"?")[0] == b"/metrics"
    body = generate_latest(registry) if found else b"the metrics are at /metrics\n"
    headers = [
        ("Content-Type", CONTENT_TYPE_PLAIN_0_0_4 if found else "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    events = (h11.Response(status_code=200 if found else 404, headers=headers), h11.Data(data=body), h11.EndOfMessage())
    await stream.send_all(b"".join(_bytes(connection, events)))
    await stream.send_eof()


def _bytes(connection: h11.Connection, events: Iterable[h11.Event]) -> Iterator[bytes]:
    for event in events:
        yield connection.send(event) or b""
