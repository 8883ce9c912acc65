"""The Universal Scalability Law: found again where it holds, and not claimed where the probes do not show it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalechat.analysis.scalability import fit, throughput

LOADS = np.array([100.0, 200, 400, 800, 1_600, 3_200, 6_400, 9_600])


def law(contention: float, coherency: float, noise: float = 0.0) -> pd.Series[float]:
    wobble = np.exp(np.random.default_rng(3).normal(0, noise, len(LOADS)))
    return pd.Series(throughput(LOADS / 100, 20_000.0, contention, coherency) * wobble)


@settings(max_examples=4, deadline=None)
@given(st.floats(0.01, 0.3), st.floats(1e-4, 1e-2))
def test_coefficients_that_made_the_curve_are_found_again(contention: float, coherency: float) -> None:
    """With its peak, and inside its own interval."""
    found = fit(pd.Series(LOADS), law(contention, coherency))
    assert found is not None
    assert found.describes
    assert found.contention.value == pytest.approx(contention, rel=0.02, abs=1e-3)
    assert found.coherency.value == pytest.approx(coherency, rel=0.02, abs=1e-5)
    assert found.peak == pytest.approx(100 * np.sqrt((1 - contention) / coherency), rel=0.03)


def test_a_server_that_keeps_up_determines_neither_coefficient() -> None:
    """Throughput that is what was offered says nothing of what comes later, so no peak is named."""
    found = fit(pd.Series(LOADS), law(0.0, 0.0, noise=0.01))
    assert found is not None
    assert not found.coherency.determined
    assert found.peak is None


def test_the_band_holds_the_curve_and_opens_where_nothing_was_measured() -> None:
    """Relative to the curve, it is wider beyond the last load than among them."""
    found = fit(pd.Series(LOADS), law(0.05, 1e-3, noise=0.03))
    assert found is not None
    low, high = found.band(np.array([800.0, 96_000.0]))
    curve = found.at(np.array([800.0, 96_000.0]))
    assert (low <= curve * 1.001).all()
    assert (curve <= high * 1.001).all()
    assert (high / low)[1] > (high / low)[0]


def test_a_load_that_multiplies_deliveries_is_not_described_by_the_law() -> None:
    """Everybody talking in one room: deliveries grow with the square of the members."""
    found = fit(pd.Series(LOADS), pd.Series(LOADS**2))
    assert found is not None
    assert not found.describes


def test_three_loads_are_too_few() -> None:
    """Three coefficients would go through them whatever they are; probes that delivered nothing do not count."""
    assert fit(pd.Series(LOADS[:3]), law(0.1, 1e-3)[:3]) is None
    assert fit(pd.Series(LOADS[:4]), pd.Series([1.0, 2.0, 0.0, np.nan])) is None
