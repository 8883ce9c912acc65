"""Turns what the recorder holds into the rows of the run directory, a window at a time.

A window is a second, cut at each change of phase, so that every row belongs to one phase.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.samples import Sample

from scalechat.load.broadcasts import Broadcast
from scalechat.load.dialects import Names
from scalechat.load.errors import ErrorLog
from scalechat.load.health import Health, Pulse
from scalechat.load.histogram import Histogram
from scalechat.load.hlog import IntervalLog
from scalechat.load.live import Snapshot
from scalechat.load.recorder import PhaseNumber, Recorder
from scalechat.load.results import (
    BroadcastRow,
    ConnectionRow,
    ErrorRow,
    EventRow,
    HealthRow,
    HistogramRow,
    RunWriter,
    ServerRow,
    TimeseriesRow,
)
from scalechat.load.scrape import labels_text
from scalechat.load.timeline import PHASE_NAMES, Timeline
from scalechat.load.virtual_client import VirtualClient

WORKER_ID = "0"
"""This process. There is one; the files are made for several."""


class Journal:
    """Writes the run. `window` does the regular work; everything else is written when it happens."""

    def __init__(
        self,
        writer: RunWriter,
        log: IntervalLog,
        *,
        timeline: Timeline,
        recorder: Recorder,
        names: Names,
        clients: Sequence[VirtualClient],
        errors: ErrorLog,
        health: Health,
    ) -> None:
        self._writer = writer
        self._log = log
        self._timeline = timeline
        self._recorder = recorder
        self._names = names
        self._clients = clients
        self._errors = errors
        self._health = health
        self._last_ns = timeline.start_ns
        self._last_cpu_s = health.look().cpu_s_total
        self._last_published = 0
        self._last_delivered = 0
        self._last_evicted = 0
        self.peak_open = 0
        """Most connections open at the end of a window of the measured phase."""

    def window(self, now_ns: int, *, target_clients: int, phase_left_s: float | None) -> Snapshot:
        """Close the window that ends now. Its rows are taken, not yet written."""
        dt_s = (now_ns - self._last_ns) / 1e9
        pulse = self._health.look()
        send_lag = Histogram()
        delivery = Histogram()
        for (phase, metric), histogram in self._recorder.end_window():
            self._histogram(now_ns, dt_s, phase, metric, histogram)
            if metric == "send_lag":
                send_lag.merge(histogram)
            elif metric == "delivery":
                delivery.merge(histogram)
                if phase == PhaseNumber.STEADY:
                    start_s, end_s = self._timeline.t_s(self._last_ns), self._timeline.t_s(now_ns)
                    self._log.interval(histogram, start_s=start_s, end_s=end_s)
        self._writer.append(self._timeseries(now_ns, target_clients), self._pulse(now_ns, dt_s, pulse, send_lag))
        snapshot = self._snapshot(now_ns, dt_s, pulse, delivery, target_clients, phase_left_s)
        self._remember(now_ns, pulse)
        return snapshot

    def closed(self, messages: Iterable[Broadcast]) -> None:
        """Messages whose account is closed."""
        self._writer.extend(self._broadcast(message) for message in messages)

    def event(self, kind: str, detail: str, at_ns: int) -> None:
        """Something that explains the curves around it."""
        self._writer.append(
            EventRow(
                t_s=self._timeline.t_s(at_ns),
                ts_unix_ns=self._timeline.unix_ns(at_ns),
                worker_id=WORKER_ID,
                phase=self._timeline.name,
                kind=kind,
                detail=detail,
            )
        )

    def scraped(self, samples: Iterable[Sample], node: str, at_ns: int) -> None:
        """One scrape of the server."""
        t_s, unix_ns, phase = self._timeline.t_s(at_ns), self._timeline.unix_ns(at_ns), self._timeline.name
        self._writer.extend(
            ServerRow(
                t_s=t_s,
                ts_unix_ns=unix_ns,
                worker_id=WORKER_ID,
                phase=phase,
                metric=sample.name,
                value=sample.value,
                labels=labels_text(sample),
                node=node,
            )
            for sample in samples
        )

    def end(self) -> None:
        """The tables that are written once: connections and errors. The last window must be closed."""
        self._writer.extend(self._connection(client) for client in self._clients if client.intended_ns is not None)
        self._writer.extend(
            ErrorRow(
                t_s=self._timeline.t_s(entry.first_ns),
                ts_unix_ns=self._timeline.unix_ns(entry.first_ns),
                worker_id=WORKER_ID,
                phase=PHASE_NAMES[entry.phase],
                kind=kind,
                count=entry.count,
                last_s=self._timeline.t_s(entry.last_ns),
                example=entry.example,
            )
            for kind, entry in self._errors.kinds.items()
        )

    def _remember(self, now_ns: int, pulse: Pulse) -> None:
        counters = self._recorder.counters
        evicted = counters.evicted - self._last_evicted
        if evicted:
            self.event("eviction", f"the server ended {evicted} connections as too slow", now_ns)
        if self._timeline.phase is PhaseNumber.STEADY:
            self.peak_open = max(self.peak_open, counters.open)
        self._last_ns, self._last_cpu_s = now_ns, pulse.cpu_s_total
        self._last_published, self._last_delivered = counters.published, counters.delivered
        self._last_evicted = counters.evicted

    # --- one row each ------------------------------------------------------------------------------------------------

    def _histogram(self, now_ns: int, dt_s: float, phase: int, metric: str, histogram: Histogram) -> None:
        t_s = self._timeline.t_s(now_ns)
        self._writer.extend(
            HistogramRow(
                t_s=t_s,
                dt_s=round(dt_s, 6),
                worker_id=WORKER_ID,
                phase=PHASE_NAMES[phase],
                metric=metric,
                bucket_low_ns=low,
                bucket_high_ns=high,
                count=count,
            )
            for low, high, count in histogram.buckets()
        )

    def _timeseries(self, now_ns: int, target_clients: int) -> TimeseriesRow:
        recorder, counters = self._recorder, self._recorder.counters
        received, sent = (sum(column) for column in zip(*(client.traffic for client in self._clients), strict=True))
        failures = counters.connect_failures
        return TimeseriesRow(
            t_s=self._timeline.t_s(now_ns),
            ts_unix_ns=self._timeline.unix_ns(now_ns),
            worker_id=WORKER_ID,
            phase=self._timeline.name,
            connections_target=target_clients,
            connections_open=counters.open,
            connects_total=counters.connects,
            connect_failures_refused_total=failures.get("refused", 0),
            connect_failures_timeout_total=failures.get("timeout", 0),
            connect_failures_rejected_total=failures.get("rejected", 0),
            connect_failures_other_total=failures.get("other", 0),
            disconnects_total=counters.disconnects,
            reconnects_total=0,
            intended_total=counters.intended,
            published_total=counters.published,
            delivered_total=counters.delivered,
            duplicated_total=counters.duplicated,
            reordered_total=counters.reordered,
            corrupted_total=counters.corrupted,
            rx_bytes_total=received,
            tx_bytes_total=sent,
            evicted_total=counters.evicted,
            errors_total=self._errors.total,
            acked_total=counters.acked if recorder.acknowledged else None,
            rejected_total=counters.rejected if recorder.acknowledged else None,
            expected_total=counters.expected,
            missing_total=recorder.missing,
            phantom_total=counters.phantom,
        )

    def _pulse(self, now_ns: int, dt_s: float, pulse: Pulse, send_lag: Histogram) -> HealthRow:
        lag_p50, lag_p99, lag_max = pulse.loop_lag_ns or (None, None, None)
        return HealthRow(
            t_s=self._timeline.t_s(now_ns),
            ts_unix_ns=self._timeline.unix_ns(now_ns),
            dt_s=round(dt_s, 6),
            worker_id=WORKER_ID,
            phase=self._timeline.name,
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
        )

    def _broadcast(self, message: Broadcast) -> BroadcastRow:
        timeline, names = self._timeline, self._names
        return BroadcastRow(
            t_s=timeline.t_s(message.intended_ns),
            ts_unix_ns=timeline.unix_ns(message.intended_ns),
            worker_id=WORKER_ID,
            phase=PHASE_NAMES[message.phase],
            msg_id=f"{message.publisher}-{message.number}",
            publisher=f"{names.prefix}c{message.publisher}",
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

    def _connection(self, client: VirtualClient) -> ConnectionRow:
        timeline, recorder = self._timeline, self._recorder
        assert client.intended_ns is not None
        ledger = client.ledger
        p50, p99 = recorder.client_quantiles_ns(client.number, (0.5, 0.99))
        name = f"{self._names.prefix}c{client.number}"
        return ConnectionRow(
            t_s=timeline.t_s(client.intended_ns),
            ts_unix_ns=timeline.unix_ns(client.intended_ns),
            worker_id=WORKER_ID,
            phase=PHASE_NAMES[client.connect_phase],
            connection_id=str(client.number),
            client_id=name,
            kind="normal" if client.number < recorder.plan.publishers else "reader",
            room=self._names.room(recorder.plan.room_of(client.number)),
            join_order=client.join_order,
            tcp_ns=client.tcp_ns,
            handshake_ns=client.handshake_ns,
            opened_s=None if client.opened_ns is None else timeline.t_s(client.opened_ns),
            closed_s=None if client.closed_ns is None else timeline.t_s(client.closed_ns),
            close_code=client.close_code,
            close_reason=client.close_reason if client.failure is None else client.failure.text,
            closed_by=client.closed_by,
            received=None if ledger is None else ledger.received,
            missed=None if ledger is None else recorder.missed_by(client.number, ledger),
            delivery_p50_ns=p50,
            delivery_p99_ns=p99,
            longest_gap_ns=client.longest_gap_ns or None,
        )

    def _snapshot(
        self,
        now_ns: int,
        dt_s: float,
        pulse: Pulse,
        delivery: Histogram,
        target_clients: int,
        phase_left_s: float | None,
    ) -> Snapshot:
        counters = self._recorder.counters
        publishing = self._timeline.phase in (PhaseNumber.WARMUP, PhaseNumber.STEADY)
        window_s = max(dt_s, 1e-9)
        p50, p99 = delivery.quantile_ns(0.5), delivery.quantile_ns(0.99)
        return Snapshot(
            phase=self._timeline.name,
            elapsed_s=self._timeline.t_s(now_ns),
            phase_left_s=phase_left_s,
            clients=counters.open,
            target_clients=target_clients,
            offered_per_s=self._recorder.plan.offered_per_s if publishing else 0.0,
            published_per_s=(counters.published - self._last_published) / window_s,
            delivered_per_s=(counters.delivered - self._last_delivered) / window_s,
            p50_ms=None if p50 is None else p50 / 1e6,
            p99_ms=None if p99 is None else p99 / 1e6,
            missing=self._recorder.missing,
            duplicated=counters.duplicated,
            reordered=counters.reordered,
            errors=self._errors.total,
            cpu_ratio=(pulse.cpu_s_total - self._last_cpu_s) / window_s,
        )
