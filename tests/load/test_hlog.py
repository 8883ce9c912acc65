"""The interval log is one that HdrHistogram's own reader understands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from scalechat.load.histogram import Histogram
from scalechat.load.hlog import IntervalLog
from scalechat.load.results import RunWriter


def test_a_foreign_reader_finds_every_interval_with_its_values(tmp_path: Path) -> None:
    """Counts are exact, values within a bucket of ours and one of theirs."""
    rng = np.random.default_rng(1)
    writer = RunWriter.create(tmp_path, run_id="run")
    written = []
    with writer, IntervalLog(writer, start_unix_ns=1_700_000_000_000_000_000) as log:
        for second in range(3):
            values = rng.lognormal(15, 1, 1000).astype(np.int64)
            histogram = Histogram()
            histogram.add(values)
            log.interval(histogram, start_s=5.0 + second, end_s=6.0 + second)
            written.append(values)
    reader = HistogramLogReader(str(writer.run_dir / "latency.hlog"), HdrHistogram(1, 3_600_000_000_000, 2))
    for second, values in enumerate(written):
        interval = reader.get_next_interval_histogram()
        assert interval.get_total_count() == len(values)
        for percentile in (50, 99, 100):
            expected = np.percentile(values, percentile, method="inverted_cdf")
            assert interval.get_value_at_percentile(percentile) == pytest.approx(expected, rel=0.03)
        assert interval.get_start_time_stamp() == pytest.approx(1_700_000_005_000 + second * 1000, abs=1)
    assert reader.get_next_interval_histogram() is None
    reader.close()
