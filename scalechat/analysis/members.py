"""Whether every member of a room is served alike: by join order, by connection, and how completely.

Each connection has its own percentiles in `connections.csv`; each message its first, its last and its missing
deliveries in `broadcasts.csv`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import theilslopes

from .frames import RunFrames

__all__ = ["Completeness", "Fairness", "completeness", "fairness", "measured_members", "worst"]

FEWEST: Final = 8
MOST: Final = 1_000
"""Theil and Sen's estimator looks at every pair; of more connections so many are drawn."""
_SEED: Final = 20_260_101


@dataclass(frozen=True, slots=True)
class Fairness:
    """By how much a member's median delivery is later for each member that joined its room before it (ns)."""

    slope_ns: float
    low_ns: float
    high_ns: float
    places: float
    """From the first to join to the last, in the largest room."""
    median_ns: float

    @property
    def first_to_last_ns(self) -> float:
        return self.slope_ns * self.places

    @property
    def in_order(self) -> bool:
        """Whether the interval leaves out that join order does not matter."""
        return self.low_ns > 0 or self.high_ns < 0


@dataclass(frozen=True, slots=True)
class Completeness:
    """Messages of the measured phases by how many of those who should have got them did."""

    messages: int
    complete: int
    partly: int
    nobody: int
    lost: int
    """Deliveries."""


def measured_members(frames: RunFrames) -> pd.DataFrame:
    """The connections with percentiles of their own, of the kind that counts in the headline."""
    rows = frames.connections.dropna(subset=["delivery_p50_ns", "join_order"])
    return rows[rows["kind"].isin(["normal", "reader-only"])]


def fairness(frames: RunFrames) -> Fairness | None:
    """The slope by Theil (1950) and Sen (1968): half of all pairs of connections lie on either side of it.

    Each room's own median is taken off first, so rooms of different sizes can be put together. The interval is Sen's,
    at 95 %; it takes connections as independent. None with fewer than eight connections or no two places.
    """
    rows = measured_members(frames)
    if len(rows) < FEWEST or rows["join_order"].nunique() < 2:
        return None
    by_room = rows.groupby("room")["delivery_p50_ns"].transform("median")
    offset, order = rows["delivery_p50_ns"] - by_room, rows["join_order"]
    if len(rows) > MOST:
        chosen = np.random.default_rng(_SEED).choice(len(rows), MOST, replace=False)
        offset, order = offset.iloc[chosen], order.iloc[chosen]
    found = theilslopes(offset.to_numpy(np.float64), order.to_numpy(np.float64), alpha=0.95)
    return Fairness(
        slope_ns=float(found.slope),
        low_ns=float(found.low_slope),
        high_ns=float(found.high_slope),
        places=float(rows["join_order"].max()),
        median_ns=float(rows["delivery_p50_ns"].median()),
    )


def worst(frames: RunFrames, count: int = 10) -> pd.DataFrame:
    """The connections with the highest p99 of their own (where that is not known, median), of any kind."""
    rows = frames.connections.dropna(subset=["delivery_p50_ns"])
    return rows.sort_values(["delivery_p99_ns", "delivery_p50_ns"], ascending=False, na_position="last").head(count)


def completeness(frames: RunFrames) -> Completeness:
    """Each message counted once, whatever number of load processes received it."""
    rows = frames.in_measured(frames.broadcasts)
    sums = rows.groupby("msg_id")[["expected", "delivered"]].sum()
    lost = (sums["expected"] - sums["delivered"]).clip(lower=0)
    nobody = (sums["delivered"] == 0) & (sums["expected"] > 0)
    return Completeness(
        messages=len(sums),
        complete=int((lost == 0).sum()),
        partly=int(((lost > 0) & ~nobody).sum()),
        nobody=int(nobody.sum()),
        lost=int(lost.sum()),
    )
