"""Writes what the recorder holds into the run directory, a window at a time.

A window is a second, cut at each change of phase, so that every row belongs to one phase.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from prometheus_client.samples import Sample

from scalechat.load.broadcast import Broadcast
from scalechat.load.dialects import Names
from scalechat.load.errors import ErrorLog
from scalechat.load.health import Health, Pulse
from scalechat.load.histogram import Histogram
from scalechat.load.hlog import IntervalLog
from scalechat.load.ledger import RecipientLedger
from scalechat.load.live import Snapshot
from scalechat.load.recorder import Recorder
from scalechat.load.results import ConnectionRow, RunWriter
from scalechat.load.rows import Rows
from scalechat.load.slo import Slo
from scalechat.load.stretches import METRICS, Stretches
from scalechat.load.timeline import Timeline
from scalechat.load.virtual_client import VirtualClient


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
        slos: Sequence[Slo] = (),
    ) -> None:
        self._writer = writer
        self._watched = sorted({slo.subject for slo in slos if slo.is_latency})
        self._log = log
        self._timeline = timeline
        self._recorder = recorder
        self._rows = Rows(timeline, names, recorder, errors, str(recorder.plan.share.index))
        self._clients = clients
        self._errors = errors
        self._health = health
        self._last_ns = timeline.start_ns
        self._last_cpu_s = health.look().cpu_s_total
        self._last_published = 0
        self._last_delivered = 0
        self._last_evicted = 0
        self._waiting: list[tuple[ConnectionRow, int, RecipientLedger]] = []
        """Connections of members that missed something, and in split rooms of all that are replaced: memory grows with
        what was lost."""
        self.stretches = Stretches()
        self.peak_open = 0
        """Most connections open at the end of a window of the measured phase."""

    def window(self, now_ns: int, *, target_clients: int, phase_left_s: float | None) -> Snapshot:
        """Close the window that ends now. Its rows are taken, not yet written."""
        dt_s = (now_ns - self._last_ns) / 1e9
        pulse = self._health.look()
        send_lag = Histogram()
        delivery = Histogram()
        for (phase, metric), histogram in self._recorder.end_window():
            self._writer.extend_later(self._rows.histogram(metric, phase, histogram, now_ns, dt_s))
            if phase in self._recorder.plan.course.measured and metric in METRICS:
                self.stretches.add(metric, self._timeline.t_s(now_ns), histogram)
            if metric == "send_lag":
                send_lag.merge(histogram)
            elif metric == "delivery":
                delivery.merge(histogram)
                if phase in self._recorder.plan.course.measured:
                    start_s, end_s = self._timeline.t_s(self._last_ns), self._timeline.t_s(now_ns)
                    self._log.interval(histogram, start_s=start_s, end_s=end_s)
        self._writer.append(
            self._rows.timeseries(target_clients, now_ns),
            self._rows.health(pulse, send_lag, now_ns, dt_s),
        )
        snapshot = self._snapshot(now_ns, dt_s, pulse, delivery, send_lag, target_clients, phase_left_s)
        self._remember(now_ns, pulse)
        return snapshot

    def closed(self, messages: Iterable[Broadcast]) -> None:
        """Messages whose account is closed."""
        self._writer.extend_later(self._rows.broadcast(message) for message in messages)

    def event(self, kind: str, detail: str, at_ns: int) -> None:
        """Something that explains the curves around it."""
        self._writer.append(self._rows.event(kind, detail, at_ns))

    def replaced(self, client: VirtualClient) -> None:
        """The client's connection is history and it dials anew."""
        connection = client.connection
        if connection is None:
            return
        row = self._rows.connection(client, connection, last=False)
        ledger = connection.ledger or client.inbox.ledger
        acknowledged, roll = self._recorder.acknowledged, self._recorder.roll
        if row.missed is not None and ledger is not None and (roll.is_edge(ledger) or (row.missed and acknowledged)):
            # Some of it may be owed to nobody, never acknowledged; or other processes' at the edge of its stay.
            self._waiting.append((row, client.number, ledger))
        else:
            self._writer.append(row)

    def scraped(self, samples: Iterable[Sample], node: str, at_ns: int) -> None:
        """One scrape of the server."""
        self._writer.extend(self._rows.server(sample, node, at_ns) for sample in samples)

    def end(self) -> None:
        """The tables that are written once: connections and errors. The last window must be closed."""
        for row, number, ledger in self._waiting:
            missed = self._recorder.roll.missed_by(number, ledger)
            self._writer.append(msgspec.structs.replace(row, missed=missed))
        for client in self._clients:
            if client.connection is not None:
                self._writer.append(self._rows.connection(client, client.connection, last=True))
        self._writer.extend(self._rows.error(kind, entry) for kind, entry in self._errors.kinds.items())

    def _remember(self, now_ns: int, pulse: Pulse) -> None:
        counters = self._recorder.counters
        evicted = counters.evicted - self._last_evicted
        if evicted:
            self.event("eviction", f"the server ended {evicted} connections as too slow", now_ns)
        if self._timeline.is_measured:
            self.peak_open = max(self.peak_open, counters.open)
        self._last_ns, self._last_cpu_s = now_ns, pulse.cpu_s_total
        self._last_published, self._last_delivered = counters.published, counters.delivered
        self._last_evicted = counters.evicted

    def _snapshot(
        self,
        now_ns: int,
        dt_s: float,
        pulse: Pulse,
        delivery: Histogram,
        send_lag: Histogram,
        target_clients: int,
        phase_left_s: float | None,
    ) -> Snapshot:
        counters = self._recorder.counters
        window_s = max(dt_s, 1e-9)
        return Snapshot(
            phase=self._timeline.name,
            elapsed_s=self._timeline.t_s(now_ns),
            phase_left_s=phase_left_s,
            window_s=dt_s,
            clients=counters.open,
            target_clients=target_clients,
            offered_per_s=self._recorder.offered_per_s(now_ns) if self._timeline.is_publishing else 0.0,
            published_per_s=(counters.published - self._last_published) / window_s,
            delivered_per_s=(counters.delivered - self._last_delivered) / window_s,
            p50_ms=_ms(delivery.quantile_ns(0.5)),
            p99_ms=_ms(delivery.quantile_ns(0.99)),
            p99_9_ms=_ms(delivery.quantile_ns(0.999)),
            missing=self._recorder.missing,
            duplicated=counters.duplicated,
            reordered=counters.reordered,
            errors=self._errors.total,
            cpu_ratio=(pulse.cpu_s_total - self._last_cpu_s) / window_s,
            corrupted=counters.corrupted,
            loop_lag_p99_ms=None if pulse.loop_lag_ns is None else pulse.loop_lag_ns[1] / 1e6,
            send_lag_p50_ms=_ms(send_lag.quantile_ns(0.5, min_beyond=1)),
            rss_bytes=pulse.rss_bytes,
            delivery=delivery,
            is_closed_loop=self._recorder.plan.is_closed_loop,
            delivered=counters.delivered,
            expected=counters.expected,
            measured={
                metric: self._recorder.windows.merged(metric, self._recorder.plan.course.measured)
                for metric in self._watched
            },
            counted=self._counted(),
        )

    def _counted(self) -> dict[str, int | None]:
        counters = self._recorder.counters
        return {
            "missing": self._recorder.missing,
            "duplicated": counters.duplicated,
            "reordered": counters.reordered,
            "corrupted": counters.corrupted,
            "phantom": counters.phantom,
            "rejected": counters.rejected if self._recorder.acknowledged else None,
            "unacked": None,  # what is under way is not yet unanswered
            "evicted": counters.evicted,
            "disconnects": counters.disconnects,
            "connect_failures": sum(counters.connect_failures.values()),
            "errors": self._errors.total,
        }


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / 1e6
