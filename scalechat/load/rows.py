"""What happened, as rows of the run directory: each function is one table's columns and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.samples import Sample

from scalechat.load.broadcast import Broadcast
from scalechat.load.connection import Connection
from scalechat.load.dialects import Names
from scalechat.load.errors import ErrorKind, ErrorLog
from scalechat.load.failures import OWN
from scalechat.load.health import Pulse
from scalechat.load.histogram import Histogram
from scalechat.load.recorder import Recorder
from scalechat.load.results import (
    BroadcastRow,
    ConnectionRow,
    ErrorRow,
    EventRow,
    HealthRow,
    HistogramRow,
    ServerRow,
    TimeseriesRow,
)
from scalechat.load.scrape import labels_text
from scalechat.load.timeline import Timeline
from scalechat.load.virtual_client import VirtualClient


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes rows; `at_ns` and the like are of the run's clock."""

    timeline: Timeline
    names: Names
    recorder: Recorder
    errors: ErrorLog
    worker_id: str
    """The process."""

    def event(self, kind: str, detail: str, at_ns: int) -> EventRow:
        """Something that happened once."""
        return EventRow(
            t_s=self.timeline.t_s(at_ns),
            ts_unix_ns=self.timeline.unix_ns(at_ns),
            worker_id=self.worker_id,
            phase=self.timeline.name,
            kind=kind,
            detail=detail,
        )

    def error(self, kind: str, entry: ErrorKind) -> ErrorRow:
        """All errors of one kind."""
        return ErrorRow(
            t_s=self.timeline.t_s(entry.first_ns),
            ts_unix_ns=self.timeline.unix_ns(entry.first_ns),
            worker_id=self.worker_id,
            phase=self.recorder.plan.course.names[entry.phase],
            kind=kind,
            count=entry.count,
            last_s=self.timeline.t_s(entry.last_ns),
            example=entry.example,
        )

    def server(self, sample: Sample, node: str, at_ns: int) -> ServerRow:
        """One sample of a scrape."""
        return ServerRow(
            t_s=self.timeline.t_s(at_ns),
            ts_unix_ns=self.timeline.unix_ns(at_ns),
            worker_id=self.worker_id,
            phase=self.timeline.name,
            metric=sample.name,
            value=sample.value,
            labels=labels_text(sample),
            node=node,
        )

    def histogram(
        self, metric: str, phase: int, histogram: Histogram, at_ns: int, dt_s: float
    ) -> Iterator[HistogramRow]:
        """The buckets that were hit in the window that ends at `at_ns`."""
        t_s = self.timeline.t_s(at_ns)
        for low, high, count in histogram.buckets():
            yield HistogramRow(
                t_s=t_s,
                dt_s=round(dt_s, 6),
                worker_id=self.worker_id,
                phase=self.recorder.plan.course.names[phase],
                metric=metric,
                bucket_low_ns=low,
                bucket_high_ns=high,
                count=count,
            )

    def timeseries(self, target_clients: int, at_ns: int) -> TimeseriesRow:
        """The counters as they are now."""
        recorder, counters = self.recorder, self.recorder.counters
        failures = counters.connect_failures
        return TimeseriesRow(
            t_s=self.timeline.t_s(at_ns),
            ts_unix_ns=self.timeline.unix_ns(at_ns),
            worker_id=self.worker_id,
            phase=self.timeline.name,
            connections_target=target_clients,
            connections_open=counters.open,
            connects_total=counters.connects,
            connect_failures_refused_total=failures.get("refused", 0),
            connect_failures_timeout_total=failures.get("timeout", 0),
            connect_failures_rejected_total=failures.get("rejected", 0),
            connect_failures_other_total=failures.get("other", 0) + failures.get(OWN, 0),
            disconnects_total=counters.disconnects,
            reconnects_total=counters.reconnects,
            intended_total=counters.intended,
            published_total=counters.published,
            delivered_total=counters.delivered,
            duplicated_total=counters.duplicated,
            reordered_total=counters.reordered,
            corrupted_total=counters.corrupted,
            rx_bytes_total=counters.traffic.received_bytes,
            tx_bytes_total=counters.traffic.sent_bytes,
            evicted_total=counters.evicted,
            errors_total=self.errors.total,
            acked_total=counters.acked if recorder.acknowledged else None,
            rejected_total=counters.rejected if recorder.acknowledged else None,
            expected_total=counters.expected,
            missing_total=recorder.missing,
            phantom_total=counters.phantom,
        )

    def health(self, pulse: Pulse, send_lag: Histogram, at_ns: int, dt_s: float) -> HealthRow:
        """The process in the window that ends at `at_ns`."""
        lag_p50, lag_p99, lag_max = pulse.loop_lag_ns or (None, None, None)
        return HealthRow(
            t_s=self.timeline.t_s(at_ns),
            ts_unix_ns=self.timeline.unix_ns(at_ns),
            dt_s=round(dt_s, 6),
            worker_id=self.worker_id,
            phase=self.timeline.name,
            cpu_user_s_total=pulse.cpu_user_s_total,
            cpu_system_s_total=pulse.cpu_system_s_total,
            loop_lag_p50_ns=lag_p50,
            loop_lag_p99_ns=lag_p99,
            loop_lag_max_ns=lag_max,
            send_lag_p50_ns=send_lag.quantile_ns(0.5),
            send_lag_p99_ns=send_lag.quantile_ns(0.99),
            send_lag_max_ns=send_lag.max_ns,
            gc_pause_s_total=pulse.gc_pause_s_total,
            gc_pause_max_ns=pulse.gc_pause_max_ns,
            rss_bytes=pulse.rss_bytes,
            open_fds=pulse.open_fds,
            tasks=pulse.tasks,
            cpu_steal_s_total=pulse.cpu_steal_s_total,
            cpu_throttled_s_total=pulse.cpu_throttled_s_total,
            tcp_retransmits_total=pulse.tcp_retransmits_total,
            cpu_wait_s_total=pulse.cpu_wait_s_total,
        )

    def broadcast(self, message: Broadcast) -> BroadcastRow:
        """One message, whose account is closed."""
        timeline, names = self.timeline, self.names
        return BroadcastRow(
            t_s=timeline.t_s(message.intended_ns),
            ts_unix_ns=timeline.unix_ns(message.intended_ns),
            worker_id=self.worker_id,
            phase=self.recorder.plan.course.names[message.phase],
            msg_id=f"{message.publisher}-{message.number}",
            publisher=names.member(message.publisher),
            room=names.room(message.room),
            seq=message.number,
            size_bytes=message.size_bytes,
            expected=message.expected,
            delivered=message.delivered,
            duplicated=message.duplicated,
            send_lag_ns=message.sent_ns - message.intended_ns,
            ack_ns=None if message.acked_ns is None else message.acked_ns - message.sent_ns,
            delivery_first_ns=message.first_ns,
            delivery_last_ns=message.last_ns,
            delivery_sum_ns=message.sum_ns if message.delivered else None,
            delivery_p50_ns=message.p50_ns,
            room_seq=message.room_seq,
        )

    def connection(self, client: VirtualClient, connection: Connection, *, last: bool) -> ConnectionRow:
        """One connection, when it is history; `last`: no other follows.

        What a member missed, and a client's percentiles over all its connections, stand in the row of the last
        connection of that member, be it one that did not bring it back, and of that client.
        """
        timeline, recorder, ledger = self.timeline, self.recorder, connection.ledger
        number, member = client.number, ledger or client.inbox.ledger
        p50, p99 = recorder.deliveries.by_client.quantiles_ns(number, (0.5, 0.99)) if last else (None, None)
        settled = member is not None and (last or not client.is_member)
        return ConnectionRow(
            t_s=timeline.t_s(connection.intended_ns),
            ts_unix_ns=timeline.unix_ns(connection.intended_ns),
            worker_id=self.worker_id,
            phase=self.recorder.plan.course.names[connection.phase],
            connection_id=_connection_id(number, connection.ordinal),
            client_id=self.names.member(number),
            kind=recorder.plan.crowd.name_of(number),
            room=self.names.room(recorder.plan.room_of(number)),
            join_order=connection.join_order,
            tcp_ns=connection.tcp_ns,
            handshake_ns=connection.handshake_ns,
            opened_s=None if connection.opened_ns is None else timeline.t_s(connection.opened_ns),
            closed_s=None if connection.closed_ns is None else timeline.t_s(connection.closed_ns),
            close_code=connection.close_code,
            close_reason=connection.close_reason if connection.failure is None else connection.failure.text,
            closed_by=connection.closed_by,
            reconnect_of=_connection_id(number, connection.ordinal - 1) if connection.ordinal else None,
            received=None if ledger is None else ledger.received - connection.received_before,
            missed=recorder.roll.missed_by(number, member) if settled and member is not None else None,
            delivery_p50_ns=p50,
            delivery_p99_ns=p99,
            longest_gap_ns=client.longest_gap_ns or None,
        )


def _connection_id(client: int, ordinal: int) -> str:
    return f"{client}.{ordinal}" if ordinal else str(client)
