"""The last fifteen minutes of one process, and of several as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from scalechat.server.figures import Rates
from scalechat.server.recent import SAMPLES, Recent, Sample, quantile, together


def a_sample(unix_s: int, **figures: float | None) -> Sample:
    values: dict[str, float | None] = {
        "connections": 1,
        "publications_per_s": 2.0,
        "deliveries_per_s": 3.0,
        "fanout_p50_ms": None,
        "fanout_p99_ms": None,
        "queue_bytes": 4,
        "queue_age_s": 0.0,
        "loop_lag_ms": 0.0,
        "cpu_ratio": 0.5,
        "rss_bytes": 6,
    }
    return Sample(unix_s, *(values | figures).values())  # type: ignore[arg-type]


class Process:
    def __init__(self) -> None:
        self.fanout_s = Histogram("f", "Text.", buckets=(0.001, 0.01, 0.1), registry=CollectorRegistry())
        self.recent = Recent(
            self.fanout_s,
            connections=lambda: 7,
            queue_bytes=lambda: 8,
            queue_age_s=lambda: 0.25,
            worst_lag_s=lambda: 0.0125,
        )


def test_a_sample_is_what_the_second_was() -> None:
    """Rates as they were told, the rest as it is; fan-out of this second's publications alone."""
    process = Process()
    process.fanout_s.observe(0.05)
    process.recent.note(Rates())
    process.fanout_s.observe(0.0005)
    process.recent.note(Rates(publications_per_s=1.0, deliveries_per_s=2.0, cpu_ratio=0.5, rss_bytes=9))
    process.recent.note(Rates())
    first, second, third = process.recent.since(0)
    assert first.fanout_p50_ms is not None
    assert 10 < first.fanout_p50_ms < 100
    assert second == Sample(second.unix_s, 7, 1.0, 2.0, 0.5, 0.99, 8, 0.25, 12.5, 0.5, 9)
    assert (third.fanout_p50_ms, third.fanout_p99_ms) == (None, None)


def test_no_more_than_fifteen_minutes_are_kept() -> None:
    """However long the process lives."""
    process = Process()
    for _ in range(SAMPLES + 100):
        process.recent.note(Rates())
    assert len(process.recent.since(0)) == SAMPLES


@pytest.mark.parametrize(
    "counts, q, expected",
    [
        ([0, 0, 0], 0.5, None),
        ([10, 10, 10], 0.5, 0.5),
        ([0, 10, 10], 0.5, 1.5),
        ([5, 10, 10], 0.75, 1.5),
        ([0, 0, 4], 0.5, 2.0),
    ],
)
def test_a_quantile_is_the_one_that_prometheus_would_tell(
    counts: list[float], q: float, expected: float | None
) -> None:
    """Linear within its bucket; beyond the last bound, that bound."""
    assert quantile(list(zip([1.0, 2.0, float("inf")], counts, strict=True)), q) == expected


def test_several_processes_are_summed_and_the_worst_is_told() -> None:
    """Sums where sums mean something, else the worst; a quantile that only one has is that one's."""
    one = a_sample(5, fanout_p99_ms=3.0, queue_age_s=1.0, loop_lag_ms=2.0)
    two = a_sample(5, connections=10, loop_lag_ms=9.0)
    [whole] = together([[one], [two]])
    assert whole == a_sample(
        5,
        connections=11,
        publications_per_s=4.0,
        deliveries_per_s=6.0,
        fanout_p99_ms=3.0,
        queue_bytes=8,
        queue_age_s=1.0,
        loop_lag_ms=9.0,
        cpu_ratio=1.0,
        rss_bytes=12,
    )


@given(st.lists(st.sets(st.integers(1, 30), min_size=1), min_size=1, max_size=3))
def test_every_second_that_somebody_knows_is_there_once(known: list[set[int]]) -> None:
    """In order; a process that has no sample for a second counts with that of the second before, and no older one."""
    whole = together([[a_sample(second) for second in sorted(seconds)] for seconds in known])
    assert [sample.unix_s for sample in whole] == sorted(set().union(*known))
    for sample in whole:
        assert sample.connections == sum(sample.unix_s in part or sample.unix_s - 1 in part for part in known)
