"""Percentiles with intervals, and the phases' own figures."""

from __future__ import annotations

import re

from scalechat.analysis import facts, percentiles
from scalechat.analysis.frames import RunFrames
from scalechat.intervals import bounds

from .conftest import Analyse
from .synthetic import Case


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_interval_of_a_percentile_holds_it(healthy: RunFrames) -> None:
    """The estimate is the merged histogram's quantile, and its interval lies around it."""
    estimate = percentiles.quantile_of_seconds(healthy, "delivery", 0.99)
    low, high = bounds(estimate)
    assert low < estimate.value < high
    assert abs(estimate.value / facts.delivery_quantile(healthy, 0.99) - 1) < 0.016


def test_the_table_has_a_row_for_each_latency_and_dashes_where_samples_are_few(healthy: RunFrames) -> None:
    """12,000 deliveries carry a p99.9, whose interval would be made by twelve of them, and no p99.99."""
    text = words(percentiles.table_of_percentiles(healthy).html)
    assert "delivery 2.9" in text or "delivery 3.0" in text
    assert "acknowledgement" in text
    assert re.search(r"delivery( [\d.]+ ms [\d.]+ ms … [\d.]+ ms){3} [\d.]+ ms \N{EN DASH}", text)


def test_phases_tell_their_own_rates(healthy: RunFrames, analyse: Analyse) -> None:
    """The steady phase published 200 a second to fifty members each; the warm-up was slower to deliver."""
    rows = percentiles.phases(healthy).html.split("<tr")
    (steady,) = (words(row) for row in rows if ">steady<" in row)
    assert "200 /s" in steady or "200/s" in steady
    assert "10.0 k/s" in steady
    assert "No phase" not in percentiles.phases(analyse(Case(finished=False))).html
