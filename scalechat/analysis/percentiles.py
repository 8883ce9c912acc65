"""Percentiles with their intervals, and the figures of each phase: what a title rounds, in full."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np

from scalechat.intervals import Estimate, bounds, of_quantiles

from . import latency, saturation
from .frames import RunFrames
from .style import Html, note
from .tables import table
from .units import MISSING, count_text, duration_text, percent_text, rate_text

__all__ = ["phases", "quantile_of_seconds", "table_of_percentiles"]

RANKS: Final = {"50": 0.5, "90": 0.9, "99": 0.99, "99.9": 0.999, "99.99": 0.9999}
METRICS: Final = {
    "delivery": "delivery",
    "broadcast_first": "first member",
    "broadcast_last": "last member",
    "delivery_slow": "to slow readers",
    "delivery_churning": "to those who come and go",
    "ack_rtt": "acknowledgement",
    "connect": "connecting (whole run)",
    "send_lag": "generator's lateness",
}
_EDGES: Final = ["bucket_low_ns", "bucket_high_ns"]


def quantile_of_seconds(frames: RunFrames, metric: str, rank: float) -> Estimate:
    """A quantile (ns) in the measured phases with its error, from whole seconds drawn again; NaN with few samples."""
    rows = frames.in_measured(frames.histograms)
    rows = rows[rows["metric"] == metric]
    if not latency.enough(float(rows["count"].sum()), rank):
        return Estimate(math.nan, math.nan, math.nan)
    rows = rows.assign(second=np.ceil(rows["t_s"] - rows["dt_s"] / 2))
    counts = rows.groupby(["second", *_EDGES])["count"].sum().unstack(_EDGES, fill_value=0).sort_index(axis=1)
    low, high = (counts.columns.get_level_values(name).to_numpy(np.float64) for name in _EDGES)
    return of_quantiles(counts.to_numpy(np.float64), low, high, [rank])[0]


def table_of_percentiles(frames: RunFrames) -> Html:
    """Each latency that was measured: its percentiles, with the interval below where the run is long enough for one."""
    rows = []
    for metric, name in METRICS.items():
        # Clients connect before anything is measured.
        phases = None if metric == "connect" else [phase.name for phase in frames.measured]
        buckets = latency.merge(frames.histograms, metric, phases)
        if not latency.total(buckets):
            continue
        cells = [_cell(frames, metric, rank) for rank in RANKS.values()]
        slowest = duration_text(latency.maximum(buckets))
        rows.append((name, *cells, slowest, count_text(latency.total(buckets))))
    if not rows:
        return note("No percentile: nothing was measured in the measured phases.")
    head = ("", *(f"p{rank}" for rank in RANKS), "slowest", "samples")
    shown = table(head, rows, numeric=range(1, len(head)))
    # A second line in a cell: its interval.
    return Html(re.sub(r"\n([^<]*)", r"<br><small>\1</small>", shown.html))


def phases(frames: RunFrames) -> Html:
    """Each phase with its length, its rates, its latency and both sides' CPU."""
    if not frames.phases:
        return note("No phase was recorded.")
    rows = []
    for phase in frames.phases:
        seconds = phase.end_s - phase.start_s
        buckets = latency.merge(frames.histograms, "delivery", [phase.name])
        p99 = latency.quantile(buckets, 0.99) if latency.enough(latency.total(buckets), 0.99) else math.nan
        rows.append(
            (
                phase.name,
                f"{phase.start_s:.1f}",
                f"{seconds:.1f}",
                _rate(frames, "published_total", phase.start_s, phase.end_s),
                _rate(frames, "delivered_total", phase.start_s, phase.end_s),
                duration_text(latency.quantile(buckets, 0.5)),
                duration_text(p99),
                _cpu(frames, phase.name, server=True),
                _cpu(frames, phase.name, server=False),
                "yes" if phase.measured else "no",
            )
        )
    head = (
        "phase",
        "from (s)",
        "length (s)",
        "published",
        "delivered",
        "p50",
        "p99",
        "server CPU",
        "generator CPU",
        "measured",
    )
    return table(head, rows, numeric=range(1, 9))


def _cell(frames: RunFrames, metric: str, rank: float) -> str:
    if metric == "connect":
        buckets = latency.merge(frames.histograms, metric)
        return (
            duration_text(latency.quantile(buckets, rank)) if latency.enough(latency.total(buckets), rank) else MISSING
        )
    estimate = quantile_of_seconds(frames, metric, rank)
    low, high = bounds(estimate)
    text = duration_text(estimate.value)
    return text if math.isnan(low) else f"{text}\n{duration_text(low)} … {duration_text(high)}"


def _rate(frames: RunFrames, column: str, start_s: float, end_s: float) -> str:
    if not end_s > start_s or frames.timeseries.empty:
        return MISSING
    return rate_text(saturation.increase(frames.timeseries, column, start_s, end_s) / (end_s - start_s))


def _cpu(frames: RunFrames, phase: str, *, server: bool) -> str:
    rows, by = (frames.server_series, "node") if server else (frames.generator_series, "worker_id")
    cores = float(rows[rows["phase"] == phase].groupby(by)["cpu_cores"].mean().max())
    return MISSING if math.isnan(cores) else percent_text(cores)
