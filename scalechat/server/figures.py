"""Live figures of the node: rates over the last second, for the page and for one log line a period."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from scalechat.server.metrics import Counters, Gauges
from scalechat.server.outbox import Backlog
from scalechat.server.vitals import Footprint

SAMPLE_S = 1.0

log = structlog.get_logger("scalechat.server")


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, over the last sample; `cpu_ratio` 1.0 is one core."""

    publications_per_s: float = 0.0
    deliveries_per_s: float = 0.0
    accepts_per_s: float = 0.0
    """WebSockets."""
    cpu_ratio: float = 0.0
    rss_bytes: int = 0


class Figures:
    """Samples counters once a second while `run` runs, and tells `note` the rates each time."""

    def __init__(
        self,
        counters: Counters,
        backlog: Backlog,
        *,
        read_gauges: Callable[[], Gauges],
        loop_lag_p99_s: Callable[[], float],
        note: Callable[[Rates], None],
        log_period_s: float,
    ) -> None:
        self._counters = counters
        self._backlog = backlog
        self._read_gauges = read_gauges
        self._loop_lag_p99_s = loop_lag_p99_s
        self._note = note
        self._log_period_s = log_period_s
        self._footprint = Footprint()
        self._began_s = time.monotonic()
        self.rates = Rates()

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._began_s

    def totals(self) -> dict[str, int]:
        """What the node has done since its start."""
        c = self._counters
        return {
            "accepted": c.accepts["websocket"],
            "refused": sum(c.refusals.values()),
            "publications": c.publications,
            "deliveries": c.deliveries,
            "evictions": sum(c.evictions.values()),
        }

    async def run(self) -> None:
        """Sample until cancelled."""
        last = self._sample()
        logged_s = trio.current_time()
        while True:
            await trio.sleep(SAMPLE_S)
            now = self._sample()
            self._footprint.read()
            elapsed_s = now[0] - last[0]
            self.rates = Rates(
                publications_per_s=(now[1] - last[1]) / elapsed_s,
                deliveries_per_s=(now[2] - last[2]) / elapsed_s,
                accepts_per_s=(now[4] - last[4]) / elapsed_s,
                cpu_ratio=(now[3] - last[3]) / elapsed_s,
                rss_bytes=self._footprint.rss_bytes,
            )
            self._note(self.rates)
            last = now
            if trio.current_time() - logged_s >= self._log_period_s:
                logged_s = trio.current_time()
                self._log()

    def _sample(self) -> tuple[float, int, int, float, int]:
        c = self._counters
        return (trio.current_time(), c.publications, c.deliveries, time.process_time(), c.accepts["websocket"])

    def _log(self) -> None:
        gauges = self._read_gauges()
        log.info(
            "figures",
            connections=sum(gauges.connections.values()),
            rooms=gauges.rooms,
            publications_per_s=round(self.rates.publications_per_s, 1),
            deliveries_per_s=round(self.rates.deliveries_per_s, 1),
            queue_bytes=self._backlog.bytes,
            loop_lag_p99_ms=round(self._loop_lag_p99_s() * 1000, 2),
            cpu_ratio=round(self.rates.cpu_ratio, 3),
            rss_bytes=self.rates.rss_bytes,
            **self.totals(),
        )
