"""Latencies from histograms: merging is a sum, quantiles are exact up to the width of a bucket.

The quantile q of n values is the value of rank q·n.  Values are taken as evenly spread inside
their bucket, so the rank's place among the bucket's own values gives the place between its
edges.  The result lies in the same bucket as the true value: at most 1.6 % from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["curve", "enough", "maximum", "merge", "over_time", "quantile", "quantiles", "total"]

Floats = npt.NDArray[np.float64]

_EDGES = ["bucket_low_ns", "bucket_high_ns"]


def merge(histograms: pd.DataFrame, metric: str, phases: Iterable[str] | None = None) -> pd.DataFrame:
    """Buckets of one metric over all windows and workers, or over those of some phases.

    Returns:
        `bucket_low_ns, bucket_high_ns, count`, ascending; no rows where nothing was measured.
    """
    wanted = histograms["metric"] == metric
    if phases is not None:
        wanted &= histograms["phase"].isin(list(phases))
    return _sum(histograms[wanted], [])


def quantiles(buckets: pd.DataFrame, ranks: Sequence[float] | Floats) -> Floats:
    """The values (ns) of several quantiles, each between 0 and 1; NaN without samples."""
    wanted = np.asarray(ranks, dtype=np.float64)
    counts = buckets["count"].to_numpy(np.int64)
    reached = counts.cumsum()
    if len(counts) == 0 or reached[-1] == 0:
        return np.full(wanted.shape, np.nan)
    # 0.07 · 100 is 7.000000000000001 in floating point, and rank 7 is meant.
    position = np.round(wanted * reached[-1], 6)
    bucket = np.searchsorted(reached, np.maximum(position, 0.5), side="left")
    inside = (position - (reached[bucket] - counts[bucket])) / counts[bucket]
    low = buckets["bucket_low_ns"].to_numpy(np.float64)[bucket]
    high = buckets["bucket_high_ns"].to_numpy(np.float64)[bucket]
    return np.asarray(low + inside * (high - low))


def quantile(buckets: pd.DataFrame, rank: float) -> float:
    """The value (ns) of one quantile; NaN without samples."""
    return float(quantiles(buckets, [rank])[0])


def maximum(buckets: pd.DataFrame) -> float:
    """The upper edge (ns) of the highest bucket in use; NaN without samples."""
    return quantile(buckets, 1.0)


def total(buckets: pd.DataFrame) -> int:
    """How many values were measured."""
    return int(buckets["count"].sum())


def enough(count: float, rank: float, above: int = 10) -> bool:
    """Whether `above` of `count` samples lie beyond the quantile: with fewer it is an anecdote."""
    return round(count * (1 - rank), 6) >= above


def curve(buckets: pd.DataFrame, nines: float = 4.0, points: int = 160) -> pd.DataFrame:
    """The percentile curve: from the smallest value to the last percentile with enough samples.

    Returns:
        `nines` (0 = smallest value, 1 = 90th, 2 = 99th percentile …), `latency_ns`.
    """
    count = total(buckets)
    if count == 0:
        return pd.DataFrame({"nines": [], "latency_ns": []}, dtype="float64")
    supported = max(float(np.log10(max(count, 1) / 10)), 0.3)
    places = np.linspace(0.0, min(nines, supported), points)
    return pd.DataFrame({"nines": places, "latency_ns": quantiles(buckets, 1.0 - 10.0**-places)})


def over_time(
    histograms: pd.DataFrame,
    metric: str,
    window_s: float = 1.0,
    ranks: Sequence[float] = (0.5, 0.99),
) -> pd.DataFrame:
    """Quantiles per window of time and phase, exact: the buckets of all workers are summed first.

    A window in which the phase changed gives a row for each, so that no phase is judged by
    another's deliveries.

    Returns:
        `t_s` (middle of what was measured), `phase`, `count`, `max` and one column per rank named
        by it, all latencies in ns.  A quantile with less than one sample beyond it is NaN.
    """
    rows = histograms[histograms["metric"] == metric]
    begin = rows["t_s"] - rows["dt_s"]
    # A row covers the dt_s before its t_s; its middle decides, since clocks do not tick evenly.
    rows = rows.assign(begin=begin, window=np.floor((begin + rows["t_s"]) / 2 / window_s))
    by = ["window", "phase"]
    spans = rows.groupby(by).agg(begin=("begin", "min"), end=("t_s", "max")).reset_index()
    found: list[dict[str, float | str]] = []
    for _, buckets in _sum(rows, by).merge(spans, on=by).groupby(by):
        count = total(buckets)
        values = quantiles(buckets, [*ranks, 1.0])
        first = buckets.iloc[0]
        middle = float(first["begin"] + first["end"]) / 2
        row: dict[str, float | str] = {"t_s": middle, "phase": str(first["phase"]), "count": count}
        for rank, value in zip(ranks, values, strict=False):
            row[str(rank)] = float(value) if enough(count, rank, above=1) else float("nan")
        found.append({**row, "max": float(values[-1])})
    columns = ["t_s", "phase", "count", *(str(rank) for rank in ranks), "max"]
    return pd.DataFrame(found, columns=columns).sort_values("t_s", ignore_index=True)


def _sum(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    keys = [*by, *_EDGES]
    merged = rows.groupby(keys, sort=True)["count"].sum()
    return merged[merged > 0].reset_index()
