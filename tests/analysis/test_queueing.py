"""The two queues against simulations of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.analysis.queueing import batch_p99, md1_mean, utilisation


@pytest.mark.parametrize("busy", [0.3, 0.7])
def test_the_mean_stay_is_that_of_a_simulated_queue(busy: float) -> None:
    """Lindley's recursion with random arrivals and work of 1 ms."""
    gaps = np.random.default_rng(5).exponential(1 / busy, 400_000)
    steps = np.concatenate([[0.0], 1.0 - gaps]).cumsum()
    waits = steps - np.minimum.accumulate(steps)
    assert md1_mean(1.0, busy) == pytest.approx(1.0 + waits.mean(), rel=0.03)


def test_the_tail_of_batch_service_is_that_of_simulated_sweeps() -> None:
    """The rest of one sweep and a place in the next, both uniform."""
    stay = np.random.default_rng(5).uniform(0, 7.0, (2, 1_000_000)).sum(axis=0)
    assert batch_p99(float(np.median(stay))) == pytest.approx(np.quantile(stay, 0.99), rel=0.01)


@given(st.floats(0.01, 1e3), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_busier_server_is_never_quicker(service_ms: float, one: float, other: float) -> None:
    """And never quicker than the work itself."""
    less, more = sorted((one, other))
    assert service_ms <= md1_mean(service_ms, less) <= md1_mean(service_ms, more)


def test_what_cannot_be_served_waits_for_ever_and_what_is_unknown_stays_unknown() -> None:
    """Infinity is an answer, NaN is none."""
    assert md1_mean(1.0, 1.0) == math.inf
    assert math.isnan(md1_mean(math.nan, 0.5))
    assert math.isnan(utilisation(0.5, 0.0))
    assert utilisation(0.1, 0.2) == 0.5
