"""The figures of a fleet's workers for one ``/metrics``: what Prometheus reads at the coordinator is the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scalechat.load.tally import Tally, sum_of


class Tallies:
    """The newest tally of each of `count` workers."""

    def __init__(self, count: int) -> None:
        self._newest: dict[int, Tally] = {}
        self._up = dict.fromkeys(range(count), False)

    def take(self, index: int, tally: Tally) -> None:
        """The worker says how it stands."""
        self._newest[index] = tally
        self._up[index] = True

    def lose(self, index: int) -> None:
        """Nothing more comes from the worker. What it counted has happened, but its connections are gone."""
        self._up[index] = False
        if index in self._newest:
            self._newest[index] = replace(self._newest[index], connections=0)

    def together(self) -> Tally:
        """The sum of all. It never falls when a worker is lost: a counter that falls means a restart to Prometheus."""
        return sum_of(self._newest.values())

    @property
    def up(self) -> Mapping[int, bool]:
        """Of each worker whether it takes part."""
        return self._up
