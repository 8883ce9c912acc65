"""``latency.hlog``: the measured deliveries, second by second, for viewers of HdrHistogram's interval logs.

Third-party tools read this file; our own read ``histograms.csv``, which it is made from. Values are in ns.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogWriter

from scalechat.load.histogram import Histogram
from scalechat.load.results import RunWriter

_HIGHEST_NS: Final = 3_600_000_000_000
_DIGITS: Final = 2  # 1 %: a log-linear bucket of ours, 1.6 % wide, holds no more.


class IntervalLog:
    """Writes one interval after another; `start_unix_ns` is the run's beginning, from which intervals count."""

    def __init__(self, writer: RunWriter, *, start_unix_ns: int) -> None:
        self._writer = writer
        with writer.one_line_errors():
            self._stream = writer.extra_file("latency.hlog").open("w", encoding="ascii")
        self._log = HistogramLogWriter(self._stream)
        self._log.output_log_format_version()
        self._log.output_comment(f"[StartTime: {start_unix_ns / 1e9:.3f} (seconds since epoch)]")
        self._log.output_base_time(start_unix_ns / 1e6)
        self._log.output_legend()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def interval(self, histogram: Histogram, *, start_s: float, end_s: float) -> None:
        """Write what was counted between two run times. Raises `OperationalError` like the run's tables."""
        interval = HdrHistogram(1, _HIGHEST_NS, _DIGITS)
        for low, high, count in histogram.buckets():
            interval.record_value(min(max(0, (low + high - 1) // 2), _HIGHEST_NS), count)
        # The writer takes a start of 0 for "not given"; a run's first interval never is a measured one.
        with self._writer.one_line_errors():
            self._log.output_interval_histogram(interval, start_s, end_s)
            self._stream.flush()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._stream.close()
