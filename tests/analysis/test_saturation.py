"""Counters become rates and scrapes become resources, by arithmetic with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scalechat.analysis import saturation
from scalechat.analysis.frames import RunFrames

from .conftest import Analyse
from .synthetic import Case


def counter(*readings: tuple[float, str, float]) -> pd.DataFrame:
    return pd.DataFrame(readings, columns=["t_s", "worker_id", "sent_total"])


def test_workers_with_different_ticks_add_up() -> None:
    """10/s and 20/s, read at different moments, are 30/s on the common grid."""
    rows = counter(
        *[(t + 0.25, "a", 10 * (t + 0.25)) for t in range(6)], *[(t + 0.9, "b", 20 * (t + 0.9)) for t in range(6)]
    )
    assert saturation.per_second(rows, "sent_total", saturation.grid(5.0)) == pytest.approx([30.0] * 5)


def test_the_increase_of_a_phase_is_what_was_counted_in_it() -> None:
    """From 2 s to 4 s a counter that grows by 5 a second grows by 10."""
    rows = counter(*[(float(t), "a", 5.0 * t) for t in range(1, 7)])
    assert saturation.increase(rows, "sent_total", 2.0, 4.0) == 10.0


def test_the_first_reading_counts_from_zero() -> None:
    """What was counted before the first row happened in the first second."""
    assert saturation.per_second(counter((1.0, "a", 8.0)), "sent_total", saturation.grid(1.0)).tolist() == [8.0]


def test_an_unknown_column_has_an_unknown_rate() -> None:
    """A counter nobody could read is NaN, not 0."""
    rows = counter((1.0, "a", float("nan")), (2.0, "a", float("nan")))
    assert np.isnan(saturation.per_second(rows, "sent_total", saturation.grid(2.0))).all()


def test_gauges_are_summed_over_workers() -> None:
    """Two workers with 5 and 7 open connections have 12."""
    rows = counter((1.0, "a", 5.0), (1.2, "b", 7.0))
    assert saturation.gauge(rows, "sent_total", np.array([1.0, 2.0])).tolist() == [12.0, 12.0]


def test_the_server_is_read_from_its_own_metrics(healthy: RunFrames) -> None:
    """CPU, connections, loop lag and collections come out as they were put in."""
    rows = healthy.server_series
    assert len(rows) == 19
    steady = healthy.in_measured(rows)
    assert steady["cpu_cores"].to_numpy() == pytest.approx(0.38)
    assert steady["gc_ratio"].to_numpy() == pytest.approx(0.002)
    assert (steady["connections"] == 200).all()
    # All probes fell into (0.5 ms, 1 ms]; p99 of an evenly filled bucket is near its upper edge.
    assert steady["loop_lag_p99_s"].to_numpy() == pytest.approx(0.000995)


def test_a_foreign_server_has_no_rows(analyse: Analyse) -> None:
    """Without metrics there is a frame with the same columns and no rows."""
    foreign = analyse(Case(foreign=True)).server_series
    assert foreign.empty
    assert {"cpu_cores", "loop_lag_p99_s", "queue_bytes"} <= set(foreign.columns)


def test_a_restarted_server_counts_from_zero() -> None:
    """A counter that fell was reset: its new value is the growth, never a negative rate."""
    rows = pd.DataFrame(
        {
            "t_s": [1.0, 2.0, 3.0],
            "worker_id": "0",
            "phase": "steady",
            "node": "a:1",
            "metric": "process_cpu_seconds_total",
            "labels": None,
            "value": [5.0, 5.5, 0.25],
        }
    )
    assert saturation.server(rows)["cpu_cores"].tolist()[1:] == [0.5, 0.25]


def test_a_node_scraped_by_two_workers_is_counted_once() -> None:
    """Two load processes that scrape one server do not double its memory."""
    rows = pd.DataFrame(
        {
            "t_s": [1.0, 1.0],
            "worker_id": ["0", "1"],
            "phase": "steady",
            "node": "a:1",
            "metric": "process_resident_memory_bytes",
            "labels": None,
            "value": 50e6,
        }
    )
    assert saturation.server(rows)["rss_bytes"].tolist() == [50e6]


def test_the_generator_is_read_from_its_health(healthy: RunFrames) -> None:
    """User and system time together are the cores used."""
    assert healthy.generator_series["cpu_cores"].dropna().to_numpy() == pytest.approx(0.21)
