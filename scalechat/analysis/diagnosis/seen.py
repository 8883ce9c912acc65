"""What rules look at: the measured phases of one run, both sides, and when something was so."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from scalechat.analysis import facts, latency
from scalechat.analysis.frames import RunFrames

__all__ = ["Seen", "when"]

_THROUGHOUT: Final = 0.8


class Long(NamedTuple):
    """Observations above a bound."""

    number: float
    when: str


class Seen:
    """One run as rules see it. What the run does not know is NaN, and no rule takes NaN for a sign."""

    def __init__(self, frames: RunFrames) -> None:
        self.frames = frames

    @cached_property
    def server(self) -> pd.DataFrame:
        """The server's series in the measured phases."""
        return self.frames.in_measured(self.frames.server_series)

    @cached_property
    def generator(self) -> pd.DataFrame:
        """The load processes' series in the measured phases."""
        return self.frames.in_measured(self.frames.generator_series)

    def most(self, column: str) -> float:
        """What nine in ten scrapes of the server stayed below."""
        return facts.most_of(self.server[column])

    def typical(self, column: str) -> float:
        """The median scrape's."""
        return float(self.server[column].median())

    def highest(self, column: str) -> float:
        """The highest that the server ever showed; NaN without any."""
        return float(self.server[column].max())

    def grown(self, metric: str, label: str = "") -> float:
        """By how much a counter of the server grew in the whole run, over all labels, or those that contain `label`.

        A restart counts from zero. NaN where the server does not show it.
        """
        rows = self.frames.server
        rows = rows[
            (rows["metric"] == metric) & rows["labels"].fillna("").astype("str").str.contains(label, regex=False)
        ]
        if rows.empty:
            return float("nan")
        # One of several workers that scraped a node tells its whole story.
        rows = rows[rows["worker_id"] == rows.groupby(rows["node"].fillna(""))["worker_id"].transform("min")]
        steps = rows.sort_values("t_s").groupby([rows["node"].fillna(""), rows["labels"].fillna("")])["value"].diff()
        return float(steps.where(~(steps < 0), rows["value"]).sum())

    def longer_than(self, histogram: str, bound_s: float) -> Long:
        """How many observations of a server's histogram were above a bound in measured time; it is a bucket's edge."""
        rows = self.frames.in_measured(self.frames.server)
        edge = rows["labels"].fillna("").astype("str").str.extract(r'le="([^"]+)"')[0].astype("float64")
        buckets = rows[(rows["metric"] == f"{histogram}_bucket") & ((edge == bound_s) | np.isinf(edge))]
        above = edge[buckets.index].map({bound_s: -1.0, np.inf: 1.0}) * buckets["value"]
        by_scrape = above.groupby(buckets["t_s"]).sum().diff().rename("count").reset_index()
        return Long(float(by_scrape["count"].clip(lower=0).sum()), when(by_scrape, "count", 1))

    def limit(self, name: str) -> float:
        """A configured bound of the server; NaN where there is none."""
        rows = self.frames.server
        labels = rows["labels"].fillna("").astype("str")
        values = rows[(rows["metric"] == "scalechat_limit") & labels.str.contains(f'name="{name}"', regex=False)][
            "value"
        ]
        return float(values.iloc[-1]) if len(values) and values.iloc[-1] > 0 else float("nan")

    def counted(self, column: str) -> float:
        """The last value of a counter of the load client, summed over its processes."""
        return facts.sum_of_last(self.frames, column)

    def delivery_s(self, metric: str, rank: float) -> float:
        """A quantile of a latency in the measured phases, in s; NaN with too few samples."""
        buckets = latency.merge(self.frames.histograms, metric, [phase.name for phase in self.frames.measured])
        if not latency.enough(latency.total(buckets), rank):
            return float("nan")
        return latency.quantile(buckets, rank) / 1e9

    @property
    def fan_out(self) -> float:
        """Deliveries that one message makes."""
        return facts.rate(self.frames, "delivered_total", "delivered_per_s") / self.published_per_s

    @property
    def published_per_s(self) -> float:
        return facts.rate(self.frames, "published_total", "published_per_s")

    @property
    def delivered_per_s(self) -> float:
        return facts.rate(self.frames, "delivered_total", "delivered_per_s")


def when(rows: pd.DataFrame, column: str, least: float) -> str:
    """When a column was at least so much: ``at 6 s``, ``from 6 s to 9 s``, ``throughout``; nothing when never."""
    at = rows["t_s"].to_numpy(np.float64)[(rows[column] >= least).to_numpy()]
    if not len(at):
        return ""
    if len(at) >= _THROUGHOUT * rows[column].notna().sum() and len(at) > 1:
        return "throughout"
    return _span(at)


def _span(at: Iterable[float]) -> str:
    first, last = f"{min(at):.0f}", f"{max(at):.0f}"
    return f"at {first} s" if first == last else f"between {first} s and {last} s"
