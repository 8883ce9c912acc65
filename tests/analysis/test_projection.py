"""The projection: monotone, reproducible, wider where less is known, and its measured inputs are in the files named."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalechat.analysis import projection_figures
from scalechat.analysis.projection import INPUTS, OUTPUTS, Input, drivers, project

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
        "peak": Input(1, 1, "", ""),
        "room_members": Input(11, 11, "", ""),
        "delivery_bytes": Input(125, 125, "", ""),
        "network_overhead": Input(1, 1, "", ""),
    }
    found = project(600_000, exact)
    assert found["network_gbit_s"].middle == pytest.approx(0.1)
    assert found["nodes"].low == found["nodes"].high
    assert found["nodes"].middle >= 600_000 / exact["connections"].low


def test_measured_ranges_hold_what_the_files_say() -> None:
    """Of memory and bytes every reading of Scale-Chat's own: a range that leaves readings out promises too much.

    Of CPU those that their units speak of: what a full server does it does for many at once, and cheaper.
    """
    bus = json.loads(_text("redis-bus"))
    carried = [one for one in [*bus["carried"], *bus["most"]] if one["bus"] == "redis"]
    engine = [
        one["reading"]
        for one in json.loads(_text("comparison"))["cells"]
        if one["server"] == "scalechat" and one.get("reading")
    ]
    for reading in [*engine, *(one["reading"] for one in carried)]:
        kb = (reading["rss_after_kb"] - reading["rss_before_kb"]) / reading["clients"]
        assert _inside("connection_kb", kb)
        assert _inside("node_base_mb", reading["rss_before_kb"] / 1e3)
        if reading["deliveries"] and reading["published_per_s"] >= 200:
            assert _inside("delivery_bytes", reading["bytes_in_per_s"] / reading["deliveries_per_s"])
    for reading in engine:
        if reading["deliveries"] and reading["published_per_s"] <= 250:
            assert _inside("delivery_cpu_us", reading["server_cpu_s"] / reading["deliveries"] * 1e6)
    for one in carried:
        messages = one["reading"]["published_per_s"] * one["reading"]["seconds"]
        if one["messages_per_s"] == 0:
            assert _inside("publish_cpu_us", one["reading"]["server_cpu_s"] / messages * 1e6)
        if one["messages_per_s"] != 250:
            assert _inside("redis_cpu_us", one["redis_cpu_s"] / messages * 1e6)
    assert max(reading["clients"] for reading in engine) == INPUTS["connections"].high


def test_a_message_and_its_deliveries_are_told_apart_by_rooms_of_two_sizes() -> None:
    """Rooms of 20 and of 100 at the same rate: the line through both is the message, and its slope the delivery."""
    bus = json.loads(_text("redis-bus"))
    by_size: dict[int, list[float]] = {}
    for one in bus["carried"]:
        if one["bus"] == "memory" and one["rooms"] in {10, 50}:
            reading = one["reading"]
            cpu_us = 1e6 * reading["server_cpu_s"] / (reading["published_per_s"] * reading["seconds"])
            by_size.setdefault(reading["clients"] // one["rooms"], []).append(cpu_us)
    for small, large in itertools.product(by_size[20], by_size[100]):
        delivery = (large - small) / 80
        assert _inside("delivery_cpu_us", delivery)
        assert _inside("publish_cpu_us", small - 20 * delivery)


def test_a_node_that_only_receives_is_busy_with_its_ticks_whatever_comes() -> None:
    """From 300 messages/s to 6,000 its part of a core is the same, and what a message adds is inside the noise."""
    received = json.loads(_text("further-node"))["received"]
    cores = [one["reading"]["server_cpu_s"] / one["reading"]["seconds"] for one in received]
    rates = [one["messages_per_s"] for one in received]
    assert all(_inside("tick_cores", one) for one in cores)
    assert max(rates) >= 20 * min(rates)
    assert 1e6 * (max(cores) - min(cores)) / 3_000 <= INPUTS["receive_cpu_us"].high
    told = f"{min(cores):.2f} to {max(cores):.2f} of a core"
    docs = [
        (RESULTS.parents[1] / "docs" / page).read_text(encoding="utf-8")
        for page in ("decisions.md", "discussion/delivery.md")
    ]
    assert all(told in " ".join(page.split()) for page in docs)


def test_what_the_spread_comes_from_is_told() -> None:
    """The parts are those of one spread; what is known exactly has none of it."""
    parts = drivers(1e6)
    assert set(parts) == set(INPUTS)
    assert 0.7 < sum(parts.values()) < 1.1
    known = {**INPUTS, "room_members": Input(50, 50, "", "")}
    assert drivers(1e6, known)["room_members"] == 0
    assert drivers(1e6, known)["message_rate"] > parts["message_rate"]


def test_the_picture_says_how_little_is_certain_and_the_list_tells_measured_from_assumed() -> None:
    """The finding stands in the title; every input names its file or calls itself an assumption."""
    assert "1,000,000 users need about" in projection_figures.growth().html
    assert "uncertain by a factor of" in projection_figures.growth().html
    assert all(one.source == "assumption" or "benchmarks/results/" in one.source for one in INPUTS.values())
    assert projection_figures.rests_on().html.count("<tr") == len(INPUTS) + 1
    assert projection_figures.answer(1e6).html.count("<tr") == len(OUTPUTS) + 1


def _text(name: str) -> str:
    return (RESULTS / f"{name}.json").read_text()


def _inside(name: str, value: float) -> bool:
    return INPUTS[name].low <= value <= INPUTS[name].high
