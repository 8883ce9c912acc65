"""What one process did between the beginning and the end of the measured phase."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scalechat.load.health import cpu_s, cpu_wait_s
from scalechat.load.observer import ServerObserver
from scalechat.load.pacing import NowNs
from scalechat.load.part import Steady
from scalechat.load.plan import SECOND_NS
from scalechat.load.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Mark:
    """Totals at one moment."""

    at_ns: int
    cpu_s: float
    cpu_wait_s: float | None
    published: int
    delivered: int


class Measurement:
    """Everything is nothing until the phase has been measured."""

    def __init__(self, recorder: Recorder, clock: NowNs) -> None:
        self._recorder = recorder
        self._clock = clock
        self._marks: tuple[Mark, Mark] | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The body is the phase; it counts when it ends by itself."""
        before = self._mark()
        yield
        self._recorder.flush()
        self._marks = (before, self._mark())

    @property
    def cpu_ratio(self) -> float:
        """CPU time over wall time."""
        before, after = self._ends()
        wall_ns = after.at_ns - before.at_ns
        return (after.cpu_s - before.cpu_s) * SECOND_NS / wall_ns if wall_ns else 0.0

    @property
    def cpu_wait_ratio(self) -> float | None:
        """Time spent waiting for a core over wall time; None where the kernel does not tell."""
        before, after = self._ends()
        wall_ns = after.at_ns - before.at_ns
        if not wall_ns or after.cpu_wait_s is None or before.cpu_wait_s is None:
            return None
        return (after.cpu_wait_s - before.cpu_wait_s) * SECOND_NS / wall_ns

    def steady(self, *, peak_clients: int, observer: ServerObserver | None) -> Steady:
        """As it goes into the summary."""
        before, after = self._ends()
        return Steady(
            duration_s=(after.at_ns - before.at_ns) / SECOND_NS,
            peak_clients=peak_clients,
            published=after.published - before.published,
            delivered=after.delivered - before.delivered,
            server_cpu_cores=None if observer is None else observer.cpu_cores,
            server_rss_bytes=None if observer is None else observer.rss_bytes,
        )

    def _ends(self) -> tuple[Mark, Mark]:
        return self._marks or (self._mark(),) * 2

    def _mark(self) -> Mark:
        counters = self._recorder.counters
        return Mark(self._clock(), cpu_s(), cpu_wait_s(), counters.published, counters.delivered)
