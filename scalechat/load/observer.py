"""Beside the load, once a second: the server's own metrics into the run, and what of them the summary states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio
from prometheus_client.samples import Sample

from scalechat.load.errors import ErrorLog
from scalechat.load.growth import Growth
from scalechat.load.journal import Journal
from scalechat.load.live import ServerGlimpse
from scalechat.load.pacing import NowNs, sleep_until
from scalechat.load.plan import SECOND_NS
from scalechat.load.results import Scalar
from scalechat.load.scrape import MetricsPage, NoMetrics
from scalechat.load.timeline import Timeline

_OFFSET_NS: Final = SECOND_NS // 2
"""Scrapes fall between the ends of our own windows, so that their work does not meet."""


class ServerObserver:
    """Scrapes until cancelled, or until the target turns out to have no metrics."""

    def __init__(self, page: MetricsPage, journal: Journal, errors: ErrorLog, timeline: Timeline, clock: NowNs) -> None:
        self._page = page
        self._journal = journal
        self._errors = errors
        self._timeline = timeline
        self._clock = clock
        self._cpu_s, self._cpu_ns = 0.0, 0
        """CPU seconds between scrapes that both were of a measured phase, and how long that was."""
        self._steady_cpu, self._cpu = Growth(), Growth()
        """Of the CPU seconds: in the measured phases, and always."""
        self.glimpse: ServerGlimpse | None = None
        """What the newest scrape shows; None before the first."""
        self.rss_bytes: float | None = None
        """The last of the measured phase."""
        self.version: str | None = None
        self.stated: dict[str, Scalar] = {}
        """The limits the server states."""

    @property
    def cpu_cores(self) -> float | None:
        """How much of a core the server used while it was measured; None with fewer than two scrapes in a row."""
        return self._cpu_s * SECOND_NS / self._cpu_ns if self._cpu_ns else None

    async def run(self) -> None:
        """One scrape a second, on a grid; a slow one makes the next one late and moves no other."""
        answered = False
        at_ns = self._timeline.start_ns
        while True:
            try:
                samples = await self._page.scrape()
            except NoMetrics as none:
                self._journal.event("server_metrics", f"no server metrics at {self._page.node}: {none}", self._clock())
                return
            except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
                text = str(error) or "no answer in time"
                self._errors.note("scrape", text, at_ns=self._clock(), phase=self._timeline.phase)
            else:
                self._take(samples, first=not answered)
                answered = True
            at_ns += ((self._clock() - at_ns) // SECOND_NS + 1) * SECOND_NS
            await sleep_until(at_ns + _OFFSET_NS, self._clock)

    def _take(self, samples: Sequence[Sample], *, first: bool) -> None:
        now_ns = self._clock()
        self._journal.scraped(samples, self._page.node, now_ns)
        self._look(samples, now_ns)
        steady = self._timeline.is_measured
        if not steady:
            self._steady_cpu.forget()
        for sample in samples:
            match sample.name:
                case "process_cpu_seconds_total" if steady:
                    took_ns, grown_s = self._steady_cpu.look(now_ns, sample.value) or (0, 0.0)
                    self._cpu_ns += took_ns
                    self._cpu_s += grown_s
                case "process_resident_memory_bytes" if steady:
                    self.rss_bytes = sample.value
                case "scalechat_limit" if first:
                    self.stated[sample.labels.get("name", "")] = sample.value
                case "scalechat_build_info" if first:
                    self.version = sample.labels.get("version")
                    self.stated |= {name: value for name, value in sample.labels.items() if name != "version"}

    def _look(self, samples: Sequence[Sample], now_ns: int) -> None:
        sums: dict[str, float] = {}
        for sample in samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        cpu_s = sums.get("process_cpu_seconds_total")
        growth = None if cpu_s is None else self._cpu.look(now_ns, cpu_s)
        self.glimpse = ServerGlimpse(
            cpu_cores=None if growth is None else growth[1] * SECOND_NS / growth[0],
            rss_bytes=sums.get("process_resident_memory_bytes"),
            connections=sums.get("scalechat_connections"),
            queue_frames=sums.get("scalechat_queue_frames"),
            queue_bytes=sums.get("scalechat_queue_bytes"),
            queue_age_s=max((s.value for s in samples if s.name == "scalechat_queue_age_seconds"), default=None),
        )
