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
    """Every reading of Scale-Chat's own, whatever its load: a range that leaves readings out promises too much.

    Two are read under full load or from 1,000 messages/s on, and their units say so.
    """
    bus = json.loads((RESULTS / "redis-bus.json").read_text())
    carried = [one for one in [*bus["carried"], *bus["most"]] if one["bus"] == "redis"]
    cells = json.loads((RESULTS / "comparison.json").read_text())["cells"]
    engine = [one["reading"] for one in cells if one["server"] == "scalechat" and one.get("reading")]
    for reading in [*engine, *(one["reading"] for one in carried)]:
        kb = (reading["rss_after_kb"] - reading["rss_before_kb"]) / reading["clients"]
        assert _inside("connection_kb", kb)
        assert _inside("node_base_mb", reading["rss_before_kb"] / 1e3)
        if reading["deliveries"] and reading["published_per_s"] >= 200:
            assert _inside("delivery_bytes", reading["bytes_in_per_s"] / reading["deliveries_per_s"])
    for reading in [*engine, *(one["reading"] for one in carried if one in bus["carried"])]:
        if reading["deliveries"]:
            assert _inside("delivery_cpu_us", reading["server_cpu_s"] / reading["deliveries"] * 1e6)
    for one in carried:
        messages = one["reading"]["published_per_s"] * one["reading"]["seconds"]
        if one["messages_per_s"] == 0:
            assert _inside("publish_cpu_us", one["reading"]["server_cpu_s"] / messages * 1e6)
        if one["messages_per_s"] != 250:
            assert _inside("redis_cpu_us", one["redis_cpu_s"] / messages * 1e6)
    assert max(reading["clients"] for reading in engine) == INPUTS["connections"].high


def test_the_picture_says_how_little_is_certain_and_the_list_tells_measured_from_assumed() -> None:
    """The finding stands in the title; every input names its file or calls itself an assumption."""
    assert "1,000,000 users need about" in projection_figures.growth().html
    assert "uncertain by a factor of" in projection_figures.growth().html
    assert all(one.source == "assumption" or "benchmarks/results/" in one.source for one in INPUTS.values())
    assert projection_figures.rests_on().html.count("<tr") == len(INPUTS) + 1
    assert projection_figures.answer(1e6).html.count("<tr") == len(OUTPUTS) + 1


def _inside(name: str, value: float) -> bool:
    return INPUTS[name].low <= value <= INPUTS[name].high
