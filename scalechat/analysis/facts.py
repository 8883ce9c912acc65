"""The figures of a run that titles and tables speak of, each computed in one place.

Where the run's own summary gives a figure that one is used, so that the report says what the
terminal said; an unfinished run has no summary, and the figure is computed from the tables.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from scalechat.load.results import Objective

from . import latency, saturation
from .frames import RunFrames

__all__ = [
    "clients",
    "delivery_buckets",
    "delivery_objectives",
    "delivery_quantile",
    "generator_cpu",
    "latency_windows",
    "most_of",
    "rate",
    "send_lag",
    "server_core",
    "server_cpu",
    "sum_of_last",
]

_MOST_WINDOWS = 300
_TO_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
_QUANTILES = {0.5: "p50", 0.9: "p90", 0.99: "p99", 0.999: "p99_9", 0.9999: "p99_99", 1.0: "max"}


def clients(frames: RunFrames) -> float:
    """The most connections open at once, in the measured phases where the run says so."""
    figure = frames.figure("clients")
    if not np.isnan(figure) or frames.timeseries.empty:
        return figure
    seconds = saturation.grid(frames.end_s)
    return float(np.nanmax(saturation.gauge(frames.timeseries, "connections_open", seconds)))


def rate(frames: RunFrames, column: str, figure: str) -> float:
    """Growth per second of a counter over the measured phases; NaN without a measured phase."""
    told = frames.figure(figure)
    seconds = sum(phase.end_s - phase.start_s for phase in frames.measured)
    if not np.isnan(told) or not seconds:
        return told
    grown = sum(saturation.increase(frames.timeseries, column, phase.start_s, phase.end_s) for phase in frames.measured)
    return grown / seconds


def delivery_buckets(frames: RunFrames) -> pd.DataFrame:
    """The delivery latencies of the measured phases."""
    return latency.merge(frames.histograms, "delivery", [phase.name for phase in frames.measured])


def delivery_quantile(frames: RunFrames, rank: float) -> float:
    """A quantile of the delivery latency in ns; NaN where too few samples lie beyond it."""
    told = frames.figure(f"delivery_{_QUANTILES[rank]}") * 1e6
    if not np.isnan(told):
        return told
    buckets = delivery_buckets(frames)
    if rank < 1 and not latency.enough(latency.total(buckets), rank):
        return float("nan")
    return latency.quantile(buckets, rank)


def latency_windows(frames: RunFrames) -> pd.DataFrame:
    """Delivery latency per second, or per as many seconds as keep the points few."""
    width = max(1.0, float(np.ceil(frames.end_s / _MOST_WINDOWS)))
    return latency.over_time(frames.histograms, "delivery", width)


def send_lag(frames: RunFrames) -> float:
    """How much later than due half of the messages left the generator, in ns."""
    told = frames.figure("send_lag_p50") * 1e6
    if not np.isnan(told):
        return told
    names = [phase.name for phase in frames.measured]
    return latency.quantile(latency.merge(frames.histograms, "send_lag", names), 0.5)


def server_cpu(frames: RunFrames) -> float:
    """Cores the busiest server used, mean over the measured phases."""
    return _cores(frames, frames.server_series, "node", "server_cpu")


def server_core(frames: RunFrames) -> float:
    """What the busiest process of the server had of its one core, mean over the measured phases."""
    busiest = frames.in_measured(frames.server_series).groupby("node")["busiest_core"].mean().max()
    return server_cpu(frames) if np.isnan(busiest) else float(busiest)


def generator_cpu(frames: RunFrames) -> float:
    """Cores the busiest load process used, mean over the measured phases."""
    return _cores(frames, frames.generator_series, "worker_id", "generator_cpu")


def _cores(frames: RunFrames, series: pd.DataFrame, by: str, figure: str) -> float:
    told = frames.figure(figure)
    return float(frames.in_measured(series).groupby(by)["cpu_cores"].mean().max()) if np.isnan(told) else told


def most_of(values: pd.Series[float]) -> float:
    """What nine in ten seconds stayed below; NaN without any value."""
    known = values.dropna()
    return float(known.quantile(0.9)) if len(known) else float("nan")


def sum_of_last(frames: RunFrames, column: str) -> float:
    """The final value of a cumulative column, summed over workers."""
    return float(frames.timeseries.groupby("worker_id")[column].max().sum())


def delivery_objectives(frames: RunFrames) -> list[tuple[float, float, str]]:
    """(percentile, bound in ns, expression) of each objective on the delivery latency."""
    manifest = frames.run.manifest
    found = []
    for objective in manifest.objectives if manifest is not None else []:
        match = re.match(r"\s*p([\d.]+)\s*\(\s*delivery\s*\)", objective.expression)
        if match is not None and objective.unit in _TO_NS:
            found.append((float(match[1]), _bound_ns(objective), objective.expression))
    return found


def _bound_ns(objective: Objective) -> float:
    return objective.bound * _TO_NS[objective.unit]
