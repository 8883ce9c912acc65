"""A capacity search: its probes, its answer, the knee of its curve, and what stood in the way."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from scalechat.config import OperationalError
from scalechat.load.results import SearchAnswer, SearchRow, read_run

from . import diagnosis
from .diagnosis import Finding
from .frames import RunFrames

__all__ = ["SearchFrames", "knee", "load_search"]

_COLUMNS: Final = {"50": "delivery_p50_ms", "99": "delivery_p99_ms", "99.9": "delivery_p99_9_ms"}
_BEND: Final = 0.15
"""A curve that leaves its chord by less (as a part of the unit square) has no knee worth a name."""


class SearchFrames(RunFrames):
    """The directory of a search. Its probes are runs of their own."""

    @cached_property
    def probes(self) -> pd.DataFrame:
        """One row per probe, in the order they were made."""
        return self._frame(SearchRow)

    @property
    def answer(self) -> SearchAnswer | None:
        """What was found; None for a search that was not written to its end."""
        return None if self.run.manifest is None else self.run.manifest.search

    @property
    def quantity(self) -> str:
        """What was varied, with its unit: ``clients``, ``messages/s``, ``rooms``."""
        if self.answer is not None:
            return self.answer.unit
        names = self.probes["quantity"]
        return str(names.iloc[0]).replace("rate", "messages/s") if len(names) else "load"

    @cached_property
    def latency(self) -> tuple[str, str, float]:
        """The percentile that the objectives speak of: its name, its column and its bound in ms (NaN without one)."""
        for objective in self.run.manifest.objectives if self.run.manifest is not None else []:
            match = re.match(r"\s*p([\d.]+)\s*\(\s*delivery\s*\)", objective.expression)
            if match is not None and match[1] in _COLUMNS:
                return f"p{match[1]}", _COLUMNS[match[1]], objective.bound
        return "p99", _COLUMNS["99"], float("nan")

    def at(self, value: float | None, outcomes: tuple[str, ...]) -> pd.DataFrame:
        """The probes of one load with one of these outcomes, the newest first."""
        rows = self.probes
        return rows[(rows["value"] == value) & rows["outcome"].isin(outcomes)].iloc[::-1]

    @cached_property
    def beyond(self) -> list[RunFrames]:
        """The runs of the lowest load that did not hold, the newest first, as far as they were kept."""
        failed = None if self.answer is None else self.answer.failed
        found = self.at(failed, ("failed", "unsteady", "generator", "unclear", "sparse"))["run_id"].dropna()
        directories = (self.run.path / "probes" / str(run_id) for run_id in found)
        return [RunFrames(read_run(directory)) for directory in directories if directory.is_dir()]

    @cached_property
    def limits(self) -> list[Finding]:
        """What was at its limit there: of a load that just failed one probe may show it and another just not."""
        return next((found for run in self.beyond if (found := diagnosis.diagnose(run))), [])


def knee(load: pd.Series[float], latency: pd.Series[float]) -> float | None:
    """The load from which latency rises: the point furthest below the curve's chord, on logarithmic axes.

    The idea of Kneedle (Satopää and others 2011) without its smoothing, for a dozen points. None where the curve has
    no bend, or too few points.
    """
    known = pd.DataFrame({"load": load, "latency": latency}).dropna()
    known = known[(known > 0).all(axis=1)]
    curve = np.log(known.groupby("load")["latency"].median())
    if len(curve) < 4:
        return None
    x = np.log(curve.index.to_numpy(np.float64))
    y = np.maximum.accumulate(curve.to_numpy(np.float64))
    if x[-1] == x[0] or y[-1] - y[0] < np.log(2):
        return None
    below = (x - x[0]) / (x[-1] - x[0]) - (y - y[0]) / (y[-1] - y[0])
    furthest = int(below.argmax())
    return float(np.exp(x[furthest])) if below[furthest] >= _BEND else None


def load_search(path: Path | str) -> SearchFrames:
    """Open the search in a directory; raises OperationalError where there is none."""
    run = read_run(Path(path))
    if not run.is_search:
        raise OperationalError(f"{run.path} is a run and no capacity search: it has no search.csv")
    return SearchFrames(run)
