"""Windows: every value is in exactly one of them, and in the totals once it is over."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.windows import Windows

METRICS = st.sampled_from(["delivery", "send_lag"])
VALUES = st.lists(st.integers(-(10**6), 10**10), min_size=1, max_size=5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), METRICS, VALUES),
        st.tuples(st.just("of"), st.integers(0, 3), METRICS, VALUES),
        st.tuples(st.sampled_from(["flush", "end"]), st.none(), st.none(), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_what_windows_hold_adds_up_to_what_was_added(
    steps: list[tuple[str, int | None, str | None, list[int] | None]],
) -> None:
    """One by one or many at once, flushed or not: a window has what came since the last one, a total all of them."""
    windows = Windows()
    now: Counter[tuple[int, str]] = Counter()
    sums: Counter[tuple[int, str]] = Counter()
    totals: Counter[tuple[int, str]] = Counter()
    total_sums: Counter[tuple[int, str]] = Counter()

    def end() -> None:
        ended = windows.end()
        assert {key: histogram.count for key, histogram in ended} == dict(now)
        assert {key: histogram.sum_ns for key, histogram in ended} == {key: sums[key] for key in now}
        totals.update(now)
        total_sums.update(sums)
        now.clear()
        sums.clear()

    for step, phase, metric, values in steps:
        if phase is None or metric is None or values is None:
            end() if step == "end" else windows.flush()
            continue
        now[phase, metric] += len(values)
        sums[phase, metric] += sum(values)
        if step == "of":
            windows.of(phase, metric).add(np.array(values, dtype=np.int64))
        else:
            for value in values:
                windows.add(metric, value, phase)
    end()
    assert {key: (one.count, one.sum_ns) for key, one in windows.totals.items()} == {
        key: (totals[key], total_sums[key]) for key in totals
    }
    for metric in ("delivery", "send_lag"):
        whole = sum(count for (_phase, name), count in totals.items() if name == metric)
        assert windows.merged(metric).count == whole
        odd = sum(count for (phase, name), count in totals.items() if name == metric and phase % 2)
        assert windows.merged(metric, {1, 3}).count == odd
        assert sum(windows.total(phase, metric).count for phase in range(4)) == whole


def test_a_window_in_which_nothing_was_counted_is_left_out() -> None:
    """Asking for a histogram is not counting."""
    windows = Windows()
    windows.of(2, "delivery")
    assert windows.end() == []
    assert windows.total(2, "delivery").count == 0
