"""How busy the server and the generator were: cumulative counters become rates, scrapes a frame.

A counter is read at the moments its worker wrote a row and taken as growing evenly between them,
so workers whose clocks tick at different moments add up on one grid of whole seconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["counter_rate", "gauge", "generator", "grid", "histogram_quantile", "increase", "per_second", "server"]

Floats = npt.NDArray[np.float64]

# Column → sample name of the server's metrics.
_GAUGES = {
    "rss_bytes": "process_resident_memory_bytes",
    "open_fds": "process_open_fds",
    "max_fds": "process_max_fds",
    "connections": "scalechat_connections",
    "queue_frames": "scalechat_queue_frames",
    "queue_bytes": "scalechat_queue_bytes",
    "queue_age_s": "scalechat_queue_age_seconds",
    "tasks": "scalechat_tasks",
    "bus_up": "scalechat_bus_up",
    "bus_waiting": "scalechat_bus_waiting",
    "bus_lag_s": "scalechat_bus_lag_seconds",
    "started_unix_s": "process_start_time_seconds",
    "quota_cores": "scalechat_cpu_quota_cores",
}
_COUNTERS = {
    "cpu_cores": "process_cpu_seconds_total",
    "waiting_ratio": "scalechat_cpu_wait_seconds_total",
    "throttled_ratio": "scalechat_cpu_throttled_seconds_total",
    "gc_ratio": "scalechat_gc_pause_seconds_sum",
    "publications_per_s": "scalechat_publications_total",
    "deliveries_per_s": "scalechat_deliveries_total",
    "evictions_per_s": "scalechat_evictions_total",
    "refusals_per_s": "scalechat_refusals_total",
    "drops_per_s": "scalechat_drops_total",
    "accept_drops_per_s": "scalechat_accept_drops_total",
    "bytes_out_per_s": "scalechat_bytes_out_total",
}
_P99 = {
    "loop_lag_p99_s": "scalechat_loop_lag_seconds_bucket",
    "bus_publish_p99_s": "scalechat_bus_publish_seconds_bucket",
}
_WORKER_CPU = "scalechat_worker_cpu_seconds_total"


def grid(end_s: float) -> Floats:
    """The whole seconds from 0 to the last one that is complete (at least one interval)."""
    return np.arange(0.0, max(np.floor(end_s), 1.0) + 1.0)


def per_second(rows: pd.DataFrame, column: str, seconds: Floats) -> Floats:
    """Growth of a cumulative column in each interval of the grid, summed over workers.

    NaN throughout when no worker knows the column.
    """
    return np.diff(_on_grid(rows, column, seconds, from_zero=True)) / np.diff(seconds)


def increase(rows: pd.DataFrame, column: str, start_s: float, end_s: float) -> float:
    """Growth of a cumulative column from one moment to another, summed over workers."""
    ends = _on_grid(rows, column, np.array([start_s, end_s]), from_zero=True)
    return float(ends[1] - ends[0])


def gauge(rows: pd.DataFrame, column: str, seconds: Floats) -> Floats:
    """A gauge at the moments of the grid, summed over workers."""
    return _on_grid(rows, column, seconds, from_zero=False)


def generator(health: pd.DataFrame) -> pd.DataFrame:
    """The load processes' own resources, one row per worker and second.

    Returns:
        `t_s, worker_id, phase, cpu_cores, gc_ratio, throttled_ratio,
        waiting_ratio`, and the gauges of the table.
    """
    rows = health.sort_values(["worker_id", "t_s"]).reset_index(drop=True)
    cpu = rows["cpu_user_s_total"] + rows["cpu_system_s_total"]
    return rows.assign(
        cpu_cores=_rate(rows, cpu, ["worker_id"]),
        gc_ratio=_rate(rows, rows["gc_pause_s_total"], ["worker_id"]),
        throttled_ratio=_rate(rows, rows["cpu_throttled_s_total"], ["worker_id"]),
        waiting_ratio=_rate(rows, rows["cpu_wait_s_total"], ["worker_id"]),
    )


def server(scrapes: pd.DataFrame) -> pd.DataFrame:
    """The server's resources by its own metrics, one row per node and scrape.

    Returns:
        `node, t_s, phase` and a column per resource, NaN where the server does not show it:
        gauges as they are, counters as rate since the scrape before, `loop_lag_p99_s` and
        `bus_publish_p99_s` of the interval; `busiest_core` is what the busiest worker has of its
        one core.  No rows for a server without metrics.
    """
    rows = scrapes.assign(node=scrapes["node"].fillna(""))
    # When several workers scraped the same node, one of them tells the whole story.
    rows = rows[rows["worker_id"] == rows.groupby("node")["worker_id"].transform("min")]
    names = [*_GAUGES.values(), *_COUNTERS.values()]
    wide = (
        rows[rows["metric"].isin(names)]
        .groupby(["node", "t_s", "phase", "metric"])["value"]
        .sum()
        .unstack()
        .reset_index()
    )
    frame = wide[["node", "t_s", "phase"]].copy()
    for column, name in _GAUGES.items():
        frame[column] = wide.get(name, np.nan)
    for column, name in _COUNTERS.items():
        frame[column] = _rate(wide, wide[name], ["node"]) if name in wide else np.nan
    for column, name in _P99.items():
        p99 = histogram_quantile(rows, name, 0.99).rename(columns={"value": column})
        frame = frame.merge(p99, on=["node", "t_s"], how="left")
    return frame.merge(_busiest_worker(rows), on=["node", "t_s"], how="left").assign(
        busiest_core=lambda wide: wide["busiest_core"].fillna(wide["cpu_cores"])
    )


def _busiest_worker(rows: pd.DataFrame) -> pd.DataFrame:
    """Cores of the busiest worker of each node; no rows for nodes of one process."""
    cpu = rows[rows["metric"] == _WORKER_CPU].sort_values(["node", "labels", "t_s"])
    cores = cpu.assign(busiest_core=_rate(cpu, cpu["value"], ["node", "labels"]))
    return cores.groupby(["node", "t_s"])["busiest_core"].max().reset_index()


def histogram_quantile(rows: pd.DataFrame, name: str, rank: float) -> pd.DataFrame:
    """`node, t_s, value`: a quantile of a Prometheus histogram between consecutive scrapes.

    By Prometheus' own rule: evenly spread inside the bucket, and the last finite edge where the
    rank lies above it.
    """
    samples = rows[rows["metric"] == name]
    edges = samples["labels"].astype("str").str.extract(r'le="([^"]+)"')[0].astype("float64")
    cumulative = samples.assign(le=edges).groupby(["node", "t_s", "le"])["value"].sum().unstack().sort_index()
    found: list[dict[str, object]] = []
    for node, scrapes in cumulative.groupby(level="node"):
        grown = np.diff(scrapes.to_numpy(np.float64), axis=0)
        upper = scrapes.columns.to_numpy(np.float64)
        for (_, t_s), counts in zip(scrapes.index[1:], grown, strict=True):
            found.append({"node": node, "t_s": t_s, "value": _bucket_quantile(upper, counts, rank)})
    return pd.DataFrame(found, columns=["node", "t_s", "value"]).astype(
        {"node": "str", "t_s": "float64", "value": "float64"}
    )


def counter_rate(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """`node, t_s, value`: a counter of Prometheus' text format, all its labels together, as growth per second."""
    total = rows[rows["metric"] == name].groupby(["node", "t_s"])["value"].sum().reset_index()
    return total.assign(value=_rate(total, total["value"], ["node"]))


def _bucket_quantile(upper: Floats, cumulative: Floats, rank: float) -> float:
    if len(cumulative) == 0 or not cumulative[-1] > 0:
        return float("nan")
    position = rank * cumulative[-1]
    index = int(np.searchsorted(cumulative, position, side="left"))
    if index >= len(upper) or not np.isfinite(upper[index]):
        return float(upper[len(upper) - 2]) if len(upper) > 1 else float("nan")
    low, before = (upper[index - 1], cumulative[index - 1]) if index else (0.0, 0.0)
    inside = (position - before) / max(cumulative[index] - before, 1e-12)
    return float(low + inside * (upper[index] - low))


def _rate(rows: pd.DataFrame, counter: pd.Series[float], by: list[str]) -> pd.Series[float]:
    """Growth per second since the row before of the same group; a restart counts from zero."""
    keys = [rows[name] for name in by]
    grown = counter.groupby(keys).diff()
    grown = grown.where(~(grown < 0), counter)
    return grown / rows["t_s"].groupby(keys).diff()


def _on_grid(rows: pd.DataFrame, column: str, seconds: Floats, *, from_zero: bool) -> Floats:
    known = rows.dropna(subset=[column]).sort_values("t_s")
    if known.empty:
        return np.full(len(seconds), np.nan)
    summed = np.zeros(len(seconds))
    for _, part in known.groupby("worker_id"):
        at, value = part["t_s"].to_numpy(np.float64), part[column].to_numpy(np.float64)
        if from_zero:
            at, value = np.insert(at, 0, 0.0), np.insert(value, 0, 0.0)
        summed += np.interp(seconds, at, value)
    return summed
