from collections.abc import Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from scalechat.server.admission import REFUSALS
from scalechat.server.metrics import CONNECTION_ERRORS, EVICTIONS, MESSAGE_KINDS, Counters, Gauges, Metrics
from scalechat.server.outbox import Backlog
from scalechat.wire.closing import LABELS

LATENCY_SUFFIXES = ("_bucket", "_count", "_sum", "_created")
NOW_SUFFIXES = ("_bucket", "_gcount", "_gsum")
COUNTERS = (
    "accepts",
    "refusals",
    "connection_errors",
    "closes",
    "messages_in",
    "publications",
    "deliveries",
    "bytes_in",
    "bytes_out",
    "evictions",
    "drops",
    "bus_reconnects",
    "accept_drops",
)
GAUGES = (
    "connections",
    "queue_frames",
    "queue_bytes",
    "queue_age_seconds",
    "rooms",
    "members",
    "bus_up",
    "bus_waiting",
    "bus_waiting_bytes",
    "bus_lag_seconds",
    "tasks",
    "accept_rate_per_second",
    "draining",
    "limit",
    "build_info",
)
NAMES = {
    *(f"scalechat_{name}_total" for name in COUNTERS),
    *(f"scalechat_{name}" for name in GAUGES),
    *(
        f"scalechat_{name}_seconds{suffix}"
        for name in ("fanout_duration", "loop_lag", "gc_pause", "bus_publish")
        for suffix in LATENCY_SUFFIXES
    ),
    *(f"scalechat_queue_{what}_per_connection{suffix}" for what in ("frames", "bytes") for suffix in NOW_SUFFIXES),
    "scalechat_bus_info",
    "process_cpu_seconds_total",
    "scalechat_cpu_wait_seconds_total",
    "scalechat_cpu_quota_cores",
    "scalechat_cpu_throttled_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}
"""Every sample's name: dashboards, alert rules and the load client rely on them."""

LABEL_VALUES = {
    "scalechat_connections": ("dialect", {"plain", "v1", "http"}),
    "scalechat_accepts_total": ("kind", {"websocket", "http"}),
    "scalechat_refusals_total": ("reason", set(REFUSALS)),
    "scalechat_connection_errors_total": ("kind", set(CONNECTION_ERRORS)),
    "scalechat_closes_total": ("reason", set(LABELS)),
    "scalechat_messages_in_total": ("kind", set(MESSAGE_KINDS)),
    "scalechat_evictions_total": ("reason", set(EVICTIONS)),
    "scalechat_drops_total": ("policy", {"drop_oldest", "drop_newest", "latest"}),
    "scalechat_limit": ("name", {"max_connections", "queue_bytes"}),
    "scalechat_gc_pause_seconds_count": ("generation", {"0", "1", "2"}),
}

IDLE = Gauges(
    connections={"plain": 0, "v1": 0, "http": 0},
    rooms=0,
    members=0,
    queue_age_s=0.0,
    queues=[],
    tasks=3,
    draining=False,
    accept_rate_per_s=200.0,
)


def _metrics(counters: Counters | None = None, backlog: Backlog | None = None, gauges: Gauges = IDLE) -> Metrics:
    return Metrics(
        counters or Counters(),
        backlog or Backlog(),
        read_gauges=lambda: gauges,
        limits={"max_connections": 1000, "queue_bytes": 1048576},
    )


def _samples(families: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def _read(metrics: Metrics, name: str, **labels: str) -> float:
    value = metrics.registry.get_sample_value(name, labels)
    assert value is not None
    return value


def test_the_names_are_exactly_those_that_others_rely_on() -> None:
    """Nothing more either: what is exposed is a promise."""
    assert {name for name, _ in _samples(_metrics().registry.collect())} == NAMES


@pytest.mark.parametrize("name", LABEL_VALUES)
def test_every_label_value_exists_from_the_start(name: str) -> None:
    """A rate over it is 0 and not absent, and nobody's input makes a new one."""
    label, expected = LABEL_VALUES[name]
    found = [dict(labels) for sample, labels in _samples(_metrics().registry.collect()) if sample == name]
    assert [set(labels) for labels in found] == [{label}] * len(expected)
    assert {labels[label] for labels in found} == expected


def test_both_texts_are_read_back_by_their_parsers() -> None:
    """Prometheus' own format and OpenMetrics say the same as the registry, value for value."""
    metrics = _metrics()
    metrics.loop_lag_s.observe(0.003)
    everything = _samples(metrics.registry.collect())
    text = _samples(parse_text(generate_latest(metrics.registry).decode()))
    written = generate_openmetrics(metrics.registry).decode()  # type: ignore[no-untyped-call]
    openmetrics = _samples(parse_openmetrics(written))  # type: ignore[no-untyped-call]
    moving = {
        "process_cpu_seconds_total",
        "scalechat_cpu_wait_seconds_total",
        "scalechat_cpu_throttled_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
    }
    for key, value in everything.items():
        if key[0] not in moving:
            assert text[key] == openmetrics[key] == value
    assert {name for name, _ in openmetrics} == NAMES == {name for name, _ in text}


def test_every_family_is_described() -> None:
    """What a person reads on the metrics page."""
    families = {family.name: family.documentation for family in _metrics().registry.collect()}
    assert [name for name, text in families.items() if not text.endswith(".")] == []


def test_a_scrape_reads_the_counters_of_this_moment() -> None:
    """They are plain integers until somebody asks."""
    counters, backlog = Counters(), Backlog()
    metrics = _metrics(counters, backlog)
    counters.publications += 3
    counters.deliveries += 2_000_000_000
    counters.refusals["origin"] += 1
    backlog.sent_bytes += 5
    backlog.frames += 7
    assert _read(metrics, "scalechat_publications_total") == 3
    assert _read(metrics, "scalechat_deliveries_total") == 2_000_000_000
    assert _read(metrics, "scalechat_refusals_total", reason="origin") == 1
    assert _read(metrics, "scalechat_bytes_out_total") == 5
    assert _read(metrics, "scalechat_queue_frames") == 7


def test_a_scrape_reads_the_gauges_once() -> None:
    """A snapshot: its numbers belong together."""
    reads = 0

    def read() -> Gauges:
        nonlocal reads
        reads += 1
        return IDLE

    metrics = Metrics(Counters(), Backlog(), read_gauges=read, limits={})
    assert reads == 0
    generate_latest(metrics.registry)
    assert reads == 1


def test_queues_are_shown_per_connection() -> None:
    """Connections without a queue count as empty ones, HTTP has none; cumulative, with sum and count of now."""
    gauges = Gauges(
        connections={"plain": 2, "v1": 3, "http": 9},
        rooms=1,
        members=5,
        queue_age_s=1.5,
        queues=[(1, 100), (20, 5000)],
        tasks=3,
        draining=True,
        accept_rate_per_s=900.0,
    )
    metrics = _metrics(gauges=gauges)
    frames = "scalechat_queue_frames_per_connection"
    at_most = [_read(metrics, f"{frames}_bucket", le=bound) for bound in ("0", "1", "16", "64", "4096", "+Inf")]
    assert at_most == [3, 4, 4, 5, 5, 5]
    assert (_read(metrics, f"{frames}_gcount"), _read(metrics, f"{frames}_gsum")) == (5, 21)
    assert _read(metrics, "scalechat_queue_bytes_per_connection_gsum") == 5100
    assert _read(metrics, "scalechat_queue_age_seconds") == 1.5
    assert _read(metrics, "scalechat_draining") == 1


def test_the_process_is_shown_under_the_names_that_everybody_uses() -> None:
    """CPU, memory, descriptors and start, all of this very process."""
    metrics = _metrics()
    assert _read(metrics, "process_resident_memory_bytes") > 10**7
    assert 0 < _read(metrics, "process_open_fds") <= _read(metrics, "process_max_fds")
    assert _read(metrics, "process_start_time_seconds") > 1_600_000_000
    assert _read(metrics, "process_cpu_seconds_total") > 0


def test_two_nodes_in_one_process_share_nothing() -> None:
    """The registry is each one's own."""
    one, two = _metrics(), _metrics()
    one.fanout_duration_s.observe(0.1)
    assert _read(two, "scalechat_fanout_duration_seconds_count") == 0
