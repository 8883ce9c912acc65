"""One struct is one row of a run directory's table, its fields are the columns, each with its meaning and unit.

Writer, reader, JSON Schemas and documentation are all derived from these structs, so there is no
second list of column names to keep in step.  Rules that hold for every table:

* the unit is in the column's name (`_ns`, `_s`, `_bytes`; `_total` is cumulative since the start);
* `t_s` counts from the start of the run, `ts_unix_ns` is the same moment on the wall clock;
* `worker_id` and `phase` are on every row; an empty cell (None here) means "not known", never 0;
* within a major schema version columns are added at the end, never renamed or removed.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = [
    "METRICS",
    "BroadcastRow",
    "ConnectionRow",
    "ErrorRow",
    "EventRow",
    "HealthRow",
    "HistogramRow",
    "Row",
    "SearchRow",
    "ServerRow",
    "TimeseriesRow",
]

METRICS = (
    "delivery",
    "delivery_from_send",
    "send_lag",
    "ack_rtt",
    "connect",
    "broadcast_first",
    "broadcast_last",
    # Of clients of these kinds, which stay out of the ones above.
    "delivery_publisher_only",
    "delivery_slow",
    "delivery_churning",
    "delivery_probe",
)
"""Names the load client uses in `histograms.csv`; a reader must accept others."""


def _col(doc: str, unit: str = "") -> msgspec.Meta:
    """What a column holds, and its unit, kept beside its type."""
    return msgspec.Meta(description=doc, extra_json_schema={"unit": unit} if unit else None)


_TIME = _col("time since the start of the run", "s")
_WALL = _col("the same moment on the wall clock (Unix time)", "ns")
_WORKER = _col("load process that wrote the row")
_PHASE = _col("phase of the run the row belongs to")
_WINDOW = _col("length of the window that ends at t_s", "s")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all rows."""

    t_s: Annotated[float, _TIME]


class TimeseriesRow(Row, frozen=True, kw_only=True):
    """One second of one worker: counters since the start of the run, and gauges."""

    ts_unix_ns: Annotated[int, _WALL]
    worker_id: Annotated[str, _WORKER]
    phase: Annotated[str, _PHASE]
    connections_target: Annotated[int, _col("connections that should be open now", "connections")]
    connections_open: Annotated[int, _col("connections open now", "connections")]
    connects_total: Annotated[int, _col("connections opened", "connections")]
    connect_failures_refused_total: Annotated[int, _col("nobody listened", "connections")]
    connect_failures_timeout_total: Annotated[int, _col("not open in time", "connections")]
    connect_failures_rejected_total: Annotated[int, _col("the server declined the handshake", "connections")]
    connect_failures_other_total: Annotated[int, _col("any other failure", "connections")]
    disconnects_total: Annotated[int, _col("open connections that ended", "connections")]
    reconnects_total: Annotated[int, _col("connections opened in place of another", "connections")]
    intended_total: Annotated[int, _col("messages due by now by the plan", "messages")]
    published_total: Annotated[int, _col("messages handed to the socket", "messages")]
    delivered_total: Annotated[int, _col("first deliveries received", "deliveries")]
    duplicated_total: Annotated[int, _col("deliveries beyond the first", "deliveries")]
    reordered_total: Annotated[int, _col("first deliveries out of order", "deliveries")]
    corrupted_total: Annotated[int, _col("frames whose content is not as sent", "deliveries")]
    rx_bytes_total: Annotated[int, _col("bytes received", "bytes")]
    tx_bytes_total: Annotated[int, _col("bytes sent", "bytes")]
    evicted_total: Annotated[int, _col("connections the server ended as too slow", "connections")]
    errors_total: Annotated[int, _col("rows' worth of errors.csv", "errors")]
    acked_total: Annotated[int | None, _col("messages acknowledged", "messages")] = None
    rejected_total: Annotated[int | None, _col("messages answered by an error", "messages")] = None
    expected_total: Annotated[int | None, _col("deliveries that the published messages ask for", "deliveries")] = None
    missing_total: Annotated[
        int | None, _col("expected and known not to come; final after the drain", "deliveries")
    ] = None
    phantom_total: Annotated[int | None, _col("deliveries of messages nobody published", "deliveries")] = None


class HistogramRow(Row, frozen=True, kw_only=True):
    """A bucket that was hit in one window: `bucket_low_ns <= value < bucket_high_ns`.

    Buckets are log-linear, at most 1/64 (1.6 %) of their lower edge wide; counts belong to the
    window, not to the run, so any merging is a sum grouped by bucket.  Negative values (clock
    error) have negative edges.
    """

    dt_s: Annotated[float, _WINDOW]
    worker_id: Annotated[str, _WORKER]
    phase: Annotated[str, _PHASE]
    metric: Annotated[str, _col("what was measured: " + ", ".join(METRICS))]
    bucket_low_ns: Annotated[int, _col("lower edge, inside the bucket", "ns")]
    bucket_high_ns: Annotated[int, _col("upper edge, outside the bucket", "ns")]
    count: Annotated[int, _col("values in the bucket")]


class BroadcastRow(Row, frozen=True, kw_only=True):
    """One published message as one worker received it; `t_s` is when it was intended."""

    ts_unix_ns: Annotated[int, _WALL]
    worker_id: Annotated[str, _col("worker that received it")]
    phase: Annotated[str, _PHASE]
    msg_id: Annotated[str, _col("the message's id, unique in the run")]
    publisher: Annotated[str, _col("client that published it")]
    room: Annotated[str, _col("room it went to")]
    seq: Annotated[int, _col("the publisher's own number in that room: 1, 2, 3…")]
    size_bytes: Annotated[int, _col("length of the text, header included", "bytes")]
    expected: Annotated[int, _col("members of this worker that must get it", "deliveries")]
    delivered: Annotated[int, _col("members that got it", "deliveries")]
    duplicated: Annotated[int, _col("deliveries beyond the first", "deliveries")]
    send_lag_ns: Annotated[int | None, _col("sent this much later than intended", "ns")] = None
    ack_ns: Annotated[int | None, _col("from sending to the acknowledgement", "ns")] = None
    delivery_first_ns: Annotated[int | None, _col("intended to first member", "ns")] = None
    delivery_last_ns: Annotated[int | None, _col("intended to last member", "ns")] = None
    delivery_sum_ns: Annotated[int | None, _col("sum over the members that got it", "ns")] = None
    delivery_p50_ns: Annotated[int | None, _col("median over those members", "ns")] = None
    room_seq: Annotated[int | None, _col("the server's number for it, from the ack")] = None


class ConnectionRow(Row, frozen=True, kw_only=True):
    """One connection (a client that reconnects has several); `t_s` is when it was intended."""

    ts_unix_ns: Annotated[int, _WALL]
    worker_id: Annotated[str, _WORKER]
    phase: Annotated[str, _col("phase in which it was intended")]
    connection_id: Annotated[str, _col("unique in the run")]
    client_id: Annotated[str, _col("who connected")]
    kind: Annotated[str, _col("normal, publisher-only, reader-only, slow, churning or probe")]
    room: Annotated[str, _col("room it joined")]
    join_order: Annotated[int | None, _col("0 for the first member of the room")] = None
    tcp_ns: Annotated[int | None, _col("intended to TCP established", "ns")] = None
    handshake_ns: Annotated[int | None, _col("TCP established to WebSocket open", "ns")] = None
    opened_s: Annotated[float | None, _col("when it was open, run time", "s")] = None
    closed_s: Annotated[float | None, _col("when it ended, run time", "s")] = None
    close_code: Annotated[int | None, _col("WebSocket close code received or sent")] = None
    close_reason: Annotated[str | None, _col("text beside the code, or what failed")] = None
    closed_by: Annotated[str | None, _col("client, server or network")] = None
    reconnect_of: Annotated[str | None, _col("connection_id that this one replaces")] = None
    received: Annotated[int | None, _col("first deliveries received", "deliveries")] = None
    missed: Annotated[int | None, _col("expected deliveries that did not come", "deliveries")] = None
    delivery_p50_ns: Annotated[int | None, _col("median delivery latency", "ns")] = None
    delivery_p99_ns: Annotated[int | None, _col("99th percentile of it", "ns")] = None
    longest_gap_ns: Annotated[int | None, _col("longest time without a delivery", "ns")] = None


class HealthRow(Row, frozen=True, kw_only=True):
    """One second of the load process itself: was the generator fit to measure?"""

    ts_unix_ns: Annotated[int, _WALL]
    dt_s: Annotated[float, _WINDOW]
    worker_id: Annotated[str, _WORKER]
    phase: Annotated[str, _PHASE]
    cpu_user_s_total: Annotated[float, _col("CPU time in user code", "s")]
    cpu_system_s_total: Annotated[float, _col("CPU time in the kernel", "s")]
    loop_lag_p50_ns: Annotated[int | None, _col("scheduling delay in the window", "ns")] = None
    loop_lag_p99_ns: Annotated[int | None, _col("99th percentile of it", "ns")] = None
    loop_lag_max_ns: Annotated[int | None, _col("largest of it", "ns")] = None
    send_lag_p50_ns: Annotated[int | None, _col("sent later than intended, median", "ns")] = None
    send_lag_p99_ns: Annotated[int | None, _col("99th percentile of it", "ns")] = None
    send_lag_max_ns: Annotated[int | None, _col("largest of it", "ns")] = None
    gc_pause_s_total: Annotated[float | None, _col("time in garbage collection", "s")] = None
    gc_pause_max_ns: Annotated[int | None, _col("longest collection in the window", "ns")] = None
    rss_bytes: Annotated[int | None, _col("resident memory", "bytes")] = None
    open_fds: Annotated[int | None, _col("open file descriptors", "files")] = None
    tasks: Annotated[int | None, _col("Trio tasks alive", "tasks")] = None
    cpu_steal_s_total: Annotated[float | None, _col("CPU time taken by the hypervisor, whole machine", "s")] = None
    cpu_throttled_s_total: Annotated[float | None, _col("time the cgroup's CPU quota held us back", "s")] = None
    tcp_retransmits_total: Annotated[int | None, _col("TCP segments sent again, whole machine", "segments")] = None
    cpu_wait_s_total: Annotated[float | None, _col("time ready to run without a core: others, a quota", "s")] = None


class ServerRow(Row, frozen=True, kw_only=True):
    """One sample of one scrape of the server's `/metrics`, in Prometheus' own names."""

    ts_unix_ns: Annotated[int, _WALL]
    worker_id: Annotated[str, _col("worker that scraped")]
    phase: Annotated[str, _PHASE]
    metric: Annotated[str, _col("sample name, e.g. scalechat_loop_lag_seconds_bucket")]
    value: Annotated[float, _col("the sample, in the metric's unit")]
    labels: Annotated[str | None, _col('labels as scraped, e.g. le="0.01",node="a"')] = None
    node: Annotated[str | None, _col("server that was scraped, host:port")] = None


class EventRow(Row, frozen=True, kw_only=True):
    """Something that happened once and explains the curves around it."""

    ts_unix_ns: Annotated[int, _WALL]
    worker_id: Annotated[str, _WORKER]
    phase: Annotated[str, _PHASE]
    kind: Annotated[str, _col("phase, storm, breach, eviction, restart, lost, …")]
    detail: Annotated[str | None, _col("one line for a person")] = None


class ErrorRow(Row, frozen=True, kw_only=True):
    """One kind of error of one worker; `t_s` is the first time, `last_s` the last."""

    ts_unix_ns: Annotated[int, _WALL]
    worker_id: Annotated[str, _WORKER]
    phase: Annotated[str, _col("phase in which it first happened")]
    kind: Annotated[str, _col("short stable name of the kind")]
    count: Annotated[int, _col("how often")]
    last_s: Annotated[float, _col("last time, run time", "s")]
    example: Annotated[str | None, _col("the text of one of them")] = None


class SearchRow(Row, frozen=True, kw_only=True):
    """One probe of a capacity search."""

    ts_unix_ns: Annotated[int, _WALL]
    worker_id: Annotated[str, _WORKER]
    phase: Annotated[str, _PHASE]
    probe: Annotated[int, _col("number of the probe: 1, 2, 3…")]
    quantity: Annotated[str, _col("what is varied: clients, rate or rooms")]
    value: Annotated[float, _col("how much of it")]
    verdict: Annotated[str, _col("pass, fail, invalid or interrupted")]
    reason: Annotated[str | None, _col("why, when not pass")] = None
    step: Annotated[str | None, _col("why it was tried: first, double, halve, bisect, repeat or confirm")] = None
    outcome: Annotated[
        str | None, _col("what the search made of it: held, failed, unsteady, generator, sparse, unclear or disturbed")
    ] = None
    run_id: Annotated[str | None, _col("the probe's run, below probes/")] = None
    clients: Annotated[float | None, _col("most connections open at once", "clients")] = None
    offered_per_s: Annotated[float | None, _col("messages by the plan", "messages/s")] = None
    published_per_s: Annotated[float | None, _col("messages handed to a socket", "messages/s")] = None
    delivered_per_s: Annotated[float | None, _col("first deliveries", "deliveries/s")] = None
    delivery_p50_ms: Annotated[float | None, _col("median delivery latency", "ms")] = None
    delivery_p99_ms: Annotated[float | None, _col("99th percentile of it", "ms")] = None
    delivery_p99_9_ms: Annotated[float | None, _col("99.9th percentile of it", "ms")] = None
    missing: Annotated[int | None, _col("expected deliveries that did not come", "deliveries")] = None
    generator_cpu_cores: Annotated[float | None, _col("CPU of the busiest load process", "cores")] = None
    server_cpu_cores: Annotated[float | None, _col("CPU by the server's own metrics", "cores")] = None
    server_rss_bytes: Annotated[float | None, _col("resident memory by the same", "bytes")] = None
    yardstick_ms: Annotated[
        float | None,
        _col("CPU time of the same work before the probe, or after it, when it did not hold: the longer", "ms"),
    ] = None
