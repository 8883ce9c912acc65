"""The projection: monotone, reproducible, wider where less is known, and its measured inputs are in the files named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalechat.analysis import projection_figures
from scalechat.analysis.projection import INPUTS, OUTPUTS, Input, project

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


@settings(max_examples=10, deadline=None)
@given(st.floats(1, 1e6), st.floats(1, 10))
def test_more_users_never_need_less(users: float, factor: float) -> None:
    """In every figure; each lies inside its interval, and the same question has the same answer."""
    less, more = project(users), project(users * factor)
    assert set(less) == set(OUTPUTS)
    for name in OUTPUTS:
        assert less[name].low <= less[name].middle <= less[name].high
        assert less[name].middle <= more[name].middle * (1 + 1e-9)
    assert project(users) == less


def test_what_is_known_exactly_has_no_error_bar_and_the_sum_of_a_hand() -> None:
    """600,000 users, one message a minute, rooms of 11: 10,000 messages/s and 100,000 deliveries/s."""
    exact = {name: Input(one.low, one.low, one.unit, one.source) for name, one in INPUTS.items()}
    exact |= {
        "message_rate": Input(1, 1, "", ""),
        "room_members": Input(11, 11, "", ""),
        "delivery_bytes": Input(125, 125, "", ""),
        "network_overhead": Input(1, 1, "", ""),
    }
    found = project(600_000, exact)
    assert found["network_gbit_s"].middle == pytest.approx(0.1)
    assert found["nodes"].low == found["nodes"].high
    assert found["nodes"].middle >= 600_000 / exact["connections"].low


def test_measured_ranges_hold_what_the_files_say() -> None:
    """CPU of a message and of Redis, bytes and memory, as `python -m benchmarks.redis_bus` wrote them."""
    document = json.loads((RESULTS / "redis-bus.json").read_text())
    on_redis = [one for one in [*document["carried"], *document["most"]] if one["bus"] == "redis"]
    for one in document["most"]:
        reading = one["reading"]
        messages = reading["published_per_s"] * reading["seconds"]
        assert _inside("publish_cpu_us", reading["server_cpu_s"] / messages * 1e6)
    for one in on_redis:
        reading = one["reading"]
        if reading["published_per_s"] >= 999:
            messages = reading["published_per_s"] * reading["seconds"]
            assert _inside("redis_cpu_us", one["redis_cpu_s"] / messages * 1e6)
        assert _inside("delivery_bytes", reading["bytes_in_per_s"] / reading["deliveries_per_s"])


def test_the_picture_says_how_little_is_certain_and_the_list_tells_measured_from_assumed() -> None:
    """The finding stands in the title; every input names its file or calls itself an assumption."""
    assert "1,000,000 users need about" in projection_figures.growth().html
    assert "uncertain by a factor of" in projection_figures.growth().html
    assert all(one.source == "assumption" or "benchmarks/results/" in one.source for one in INPUTS.values())
    assert projection_figures.rests_on().html.count("<tr") == len(INPUTS) + 1
    assert projection_figures.answer(1e6).html.count("<tr") == len(OUTPUTS) + 1


def _inside(name: str, value: float) -> bool:
    return INPUTS[name].low <= value <= INPUTS[name].high
