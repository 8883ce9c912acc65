"""Every metric, defined once, in a registry of its own.

Hot paths add to plain integers (`Counters`, `Backlog`); the collector reads a snapshot of them when somebody scrapes.
The histograms are prometheus-client's own, observed once a sweep, a probe or a collection, never once a delivery. No
label has values that users choose, and every label value exists from the start, so that a rate over it is 0 and not
absent.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scalechat.bus.base import BusStatistics
from scalechat.server.admission import REFUSALS
from scalechat.server.outbox import Backlog
from scalechat.server.vitals import Footprint, file_limit
from scalechat.wire.closing import LABELS

MESSAGE_KINDS = ("message", "direct", "join", "leave", "history", "presence", "bad")
CONNECTION_ERRORS = ("protocol", "io", "flood", "bug")
EVICTIONS = ("queue_full", "queue_age", "resync", "log_reset", "rate_limit", "heartbeat", "kicked", "token_expired")

_LATENCY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_FRAME_BUCKETS = (0, 1, 4, 16, 64, 256, 1024, 4096)
_BYTE_BUCKETS = (0, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)


def _zeros(labels: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(labels, 0)


@dataclass(slots=True)
class Counters:
    """What hot paths count. Monotonic, plain integers; label values are the keys."""

    accepts: dict[str, int] = field(default_factory=lambda: _zeros(("websocket", "http")))
    refusals: dict[str, int] = field(default_factory=lambda: _zeros(REFUSALS))
    connection_errors: dict[str, int] = field(default_factory=lambda: _zeros(CONNECTION_ERRORS))
    closes: dict[str, int] = field(default_factory=lambda: _zeros(LABELS))
    messages_in: dict[str, int] = field(default_factory=lambda: _zeros(MESSAGE_KINDS))
    evictions: dict[str, int] = field(default_factory=lambda: _zeros(EVICTIONS))
    publications: int = 0
    deliveries: int = 0
    bytes_in: int = 0


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true at this moment. `queues` has (frames, bytes) of each client that has anything queued."""

    connections: Mapping[str, int]
    """By dialect, and ``http``."""
    rooms: int
    members: int
    queue_age_s: float
    queues: list[tuple[int, int]]
    tasks: int
    draining: bool
    accept_rate_per_s: float
    bus: BusStatistics = field(default_factory=BusStatistics)
    accept_drops: int = 0
    """Since the start."""


class Metrics:
    """The registry and what observes into it directly.

    `read_gauges` is called once per scrape; `limits` are the configured bounds by name, `bus` says of which
    kind the bus is.
    """

    def __init__(
        self,
        counters: Counters,
        backlog: Backlog,
        *,
        read_gauges: Callable[[], Gauges],
        limits: Mapping[str, float],
        bus: str = "memory",
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.fanout_duration_s = Histogram(
            "scalechat_fanout_duration_seconds",
            "From a batch's oldest publication to its last member's outbox.",
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.loop_lag_s = Histogram(
            "scalechat_loop_lag_seconds",
            "How late a task that asked for a moment got it, ten probes a second.",
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.bus_publish_s = Histogram(
            "scalechat_bus_publish_seconds",
            "From handing a message to Redis to its position; empty on the memory bus.",
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.gc_pause_s = Histogram(
            "scalechat_gc_pause_seconds",
            "Length of garbage collections.",
            ["generation"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        for generation in "012":
            self.gc_pause_s.labels(generation)
        self.registry.register(_Snapshots(counters, backlog, read_gauges, limits, bus))
        self.registry.register(_Process())


class _Snapshots(Collector):
    def __init__(
        self,
        counters: Counters,
        backlog: Backlog,
        read_gauges: Callable[[], Gauges],
        limits: Mapping[str, float],
        bus: str,
    ) -> None:
        self._counters = counters
        self._backlog = backlog
        self._read_gauges = read_gauges
        self._limits = limits
        # Once: reading a version opens a file, and a scrape must not fail for want of a descriptor.
        self._build = InfoMetricFamily(
            "scalechat_build",
            "What is running.",
            {"version": version("scalechat"), "python": platform.python_version(), "trio": version("trio")},
        )

        self._bus = InfoMetricFamily("scalechat_bus", "What carries messages.", {"kind": bus})

    def describe(self) -> Iterable[Metric]:
        return ()  # Registering must not read the parts, which do not exist yet.

    def collect(self) -> Iterator[Metric]:
        yield from self._collect_counters()
        yield from self._collect_gauges(self._read_gauges())
        limit = GaugeMetricFamily("scalechat_limit", "Configured bounds; 0 means none.", labels=["name"])
        for name, value in self._limits.items():
            limit.add_metric([name], value)
        yield limit
        yield self._build
        yield self._bus

    def _collect_counters(self) -> Iterator[Metric]:
        c = self._counters
        yield _by_label("scalechat_accepts", "Connections that asked for a WebSocket or for HTTP.", "kind", c.accepts)
        yield _by_label("scalechat_refusals", "Handshakes refused.", "reason", c.refusals)
        yield _by_label("scalechat_connection_errors", "Connections dropped at the fence.", "kind", c.connection_errors)
        yield _by_label("scalechat_closes", "WebSocket connections ended, by close code's label.", "reason", c.closes)
        yield _by_label("scalechat_messages_in", "What clients asked.", "kind", c.messages_in)
        yield _by_label("scalechat_evictions", "Connections ended by the server.", "reason", c.evictions)
        yield CounterMetricFamily(
            "scalechat_publications", "Messages that got their place in a log.", value=c.publications
        )
        yield CounterMetricFamily(
            "scalechat_deliveries", "Messages sent or queued to members, with those dropped later.", value=c.deliveries
        )
        drops = self._backlog.drops
        yield _by_label("scalechat_drops", "Deliveries dropped while they waited for a slow client.", "policy", drops)
        yield CounterMetricFamily("scalechat_bytes_in", "Bytes received over WebSockets.", value=c.bytes_in)
        yield CounterMetricFamily("scalechat_bytes_out", "Bytes sent over WebSockets.", value=self._backlog.sent_bytes)

    def _collect_gauges(self, now: Gauges) -> Iterator[Metric]:
        yield _by_label("scalechat_connections", "Open connections.", "dialect", now.connections, GaugeMetricFamily)
        yield GaugeMetricFamily("scalechat_rooms", "Rooms with members on this node.", now.rooms)
        yield GaugeMetricFamily("scalechat_members", "Memberships on this node.", now.members)
        yield GaugeMetricFamily(
            "scalechat_queue_frames", "Frames waiting for slow clients, all together.", self._backlog.frames
        )
        yield GaugeMetricFamily(
            "scalechat_queue_bytes", "Bytes waiting for slow clients, all together.", self._backlog.bytes
        )
        yield GaugeMetricFamily("scalechat_queue_age_seconds", "Age of the oldest waiting frame.", now.queue_age_s)
        idle = sum(now.connections.values()) - now.connections["http"] - len(now.queues)
        frames, sizes = [q[0] for q in now.queues], [q[1] for q in now.queues]
        yield _histogram_of_now("scalechat_queue_frames_per_connection", "Frames", frames, idle, _FRAME_BUCKETS)
        yield _histogram_of_now("scalechat_queue_bytes_per_connection", "Bytes", sizes, idle, _BYTE_BUCKETS)
        yield GaugeMetricFamily(
            "scalechat_bus_up", "1 while the bus can be reached; always 1 on the memory bus.", int(now.bus.up)
        )
        yield CounterMetricFamily(
            "scalechat_bus_reconnects", "Connections to Redis made again.", value=now.bus.reconnects
        )
        yield GaugeMetricFamily(
            "scalechat_bus_waiting", "Publishes handed to Redis that have no position yet.", now.bus.waiting_publishes
        )
        yield GaugeMetricFamily(
            "scalechat_bus_waiting_bytes", "Bytes of publishes that have no position yet.", now.bus.waiting_bytes
        )
        yield GaugeMetricFamily(
            "scalechat_bus_lag_seconds",
            "From a publication's append in Redis to its delivery here, newest one; two machines' clocks are in it.",
            now.bus.lag_s,
        )
        yield GaugeMetricFamily("scalechat_tasks", "Trio tasks.", now.tasks)
        text = "Connections that the kernel dropped because the accept queue was full; Linux only, else 0."
        yield CounterMetricFamily("scalechat_accept_drops", text, value=now.accept_drops)
        text = "Clients per second that a drain asks back: the busiest second that was taken with ease, 200 to 2,000."
        yield GaugeMetricFamily("scalechat_accept_rate_per_second", text, now.accept_rate_per_s)
        yield GaugeMetricFamily("scalechat_draining", "1 while the server is going away.", int(now.draining))


class _Process(Collector):
    """The names that every Prometheus client uses; ours, because prometheus-client's own works on Linux only."""

    def __init__(self) -> None:
        self._footprint = Footprint()

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        held = self._footprint
        held.read()
        yield CounterMetricFamily("process_cpu_seconds", "CPU time, user and system.", value=time.process_time())
        text = "Time that the loop was ready to run and had no core (other programs, a CPU quota); Linux only, else 0."
        yield CounterMetricFamily("scalechat_cpu_wait_seconds", text, value=held.cpu_wait_s)
        text = "Cores that the control group allows; 0 means all."
        yield GaugeMetricFamily("scalechat_cpu_quota_cores", text, held.cpu_quota.cores)
        text = "Time that the control group held its processes back."
        yield CounterMetricFamily("scalechat_cpu_throttled_seconds", text, value=held.cpu_quota.throttled_s)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory.", held.rss_bytes)
        yield GaugeMetricFamily("process_open_fds", "Open file descriptors.", held.open_fds)
        yield GaugeMetricFamily("process_max_fds", "Limit of open file descriptors.", file_limit())
        yield GaugeMetricFamily("process_start_time_seconds", "Start, Unix time.", held.start_unix_s)


def _by_label(
    name: str,
    text: str,
    label: str,
    values: Mapping[str, int],
    family: type[CounterMetricFamily] | type[GaugeMetricFamily] = CounterMetricFamily,
) -> Metric:
    metric = family(name, text, labels=[label])
    for key, value in values.items():
        metric.add_metric([key], value)
    return metric


def _histogram_of_now(name: str, unit: str, values: list[int], zeros: int, bounds: tuple[int, ...]) -> Metric:
    buckets = [(str(bound), float(zeros + sum(value <= bound for value in values))) for bound in bounds]
    buckets.append(("+Inf", float(zeros + len(values))))
    text = f"{unit} waiting for a connection, now."
    return GaugeHistogramMetricFamily(name, text, buckets=buckets, gsum_value=float(sum(values)))
