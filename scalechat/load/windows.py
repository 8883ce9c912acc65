"""Every latency that one process measures: a histogram for each phase and metric, one window after the other."""

from __future__ import annotations

from array import array
from collections.abc import Container, Mapping

import numpy as np

from scalechat.load.histogram import Histogram

Key = tuple[int, str]
"""(number of the phase, metric)."""


class Windows:
    """Values come one by one (`add`), or many at once into what `of` gives; `end` closes the window."""

    __slots__ = ("_current", "_raw", "_totals")

    def __init__(self) -> None:
        self._raw: dict[Key, array[int]] = {}
        """Values not yet in a histogram."""
        self._current: dict[Key, Histogram] = {}
        self._totals: dict[Key, Histogram] = {}

    def add(self, metric: str, value_ns: int, phase: int) -> None:
        """One value; costs an append until `flush`."""
        key = (phase, metric)
        raw = self._raw.get(key)
        if raw is None:
            raw = self._raw[key] = array("q")
        raw.append(value_ns)

    def of(self, phase: int, metric: str) -> Histogram:
        """The current window's, to be added to."""
        return self._current.setdefault((phase, metric), Histogram())

    def flush(self) -> None:
        """Count the values that came one by one."""
        for (phase, metric), raw in self._raw.items():
            if raw:
                self.of(phase, metric).add(np.array(raw, dtype=np.int64))
                del raw[:]

    def end(self) -> list[tuple[Key, Histogram]]:
        """What was counted since the last window."""
        self.flush()
        ended = [(key, histogram) for key, histogram in self._current.items() if histogram.count]
        self._current = {}
        for key, histogram in ended:
            self._totals.setdefault(key, Histogram()).merge(histogram)
        return ended

    @property
    def totals(self) -> Mapping[Key, Histogram]:
        """Everything counted in windows that have ended, by phase and metric."""
        return self._totals

    def total(self, phase: int, metric: str) -> Histogram:
        """The same of one metric in one phase."""
        return self._totals.get((phase, metric)) or Histogram()

    def merged(self, metric: str, phases: Container[int] | None = None) -> Histogram:
        """The same of one metric in these phases, or in all."""
        whole = Histogram()
        for (phase, name), histogram in self._totals.items():
            if name == metric and (phases is None or phase in phases):
                whole.merge(histogram)
        return whole
