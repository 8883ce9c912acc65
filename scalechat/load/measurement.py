"""What one process did between the beginning and the end of the measured phases."""

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
    """Everything is nothing until a phase has been measured; several add up."""

    def __init__(self, recorder: Recorder, clock: NowNs) -> None:
        self._recorder = recorder
        self._clock = clock
        self._marks: list[tuple[Mark, Mark]] = []

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The body is a phase; it counts when it ends by itself."""
        before = self._mark()
        yield
        self._recorder.flush()
        self._marks.append((before, self._mark()))

    @property
    def cpu_ratio(self) -> float:
        """CPU time over wall time."""
        cpu_s = sum(after.cpu_s - before.cpu_s for before, after in self._marks)
        return cpu_s * SECOND_NS / self._wall_ns if self._wall_ns else 0.0

    @property
    def cpu_wait_ratio(self) -> float | None:
        """Time spent waiting for a core over wall time; None where the kernel does not tell."""
        waited_s = 0.0
        for before, after in self._marks:
            if after.cpu_wait_s is None or before.cpu_wait_s is None:
                return None
            waited_s += after.cpu_wait_s - before.cpu_wait_s
        return waited_s * SECOND_NS / self._wall_ns if self._wall_ns else None

    def steady(self, *, peak_clients: int, observer: ServerObserver | None) -> Steady:
        """As it goes into the summary."""
        return Steady(
            duration_s=self._wall_ns / SECOND_NS,
            peak_clients=peak_clients,
            published=sum(after.published - before.published for before, after in self._marks),
            delivered=sum(after.delivered - before.delivered for before, after in self._marks),
            server_cpu_cores=None if observer is None else observer.cpu_cores,
            server_rss_bytes=None if observer is None else observer.rss_bytes,
        )

    @property
    def _wall_ns(self) -> int:
        return sum(after.at_ns - before.at_ns for before, after in self._marks)

    def _mark(self) -> Mark:
        counters = self._recorder.counters
        return Mark(self._clock(), cpu_s(), cpu_wait_s(), counters.published, counters.delivered)
