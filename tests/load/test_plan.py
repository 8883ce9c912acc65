"""The plan of a run follows from configuration and seed alone, and puts everybody where it should."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load.plan import JITTER, SECOND_NS, Plan, Schedule
from scalechat.scenario import Burst, Step

ARRIVALS: st.SearchStrategy[Literal["fixed", "jittered", "poisson"]] = st.sampled_from(("fixed", "jittered", "poisson"))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    clients = draw(st.integers(1, 40))
    config = LoadConfig(
        clients=clients,
        rooms=draw(st.integers(1, clients)),
        publishers=draw(st.none() | st.integers(0, clients)),
        msg_frequency_ms=draw(st.floats(1, 2_000)),
        arrivals=draw(ARRIVALS),
    )
    return Plan.of(config, draw(st.integers(0, 2**63 - 1)))


def times_of(plan: Plan, seconds: float) -> list[tuple[int, int, int]]:
    end_ns = int(seconds * SECOND_NS)
    return list(Schedule(plan, end_ns=end_ns).take_due(end_ns))


@given(plans())
def test_members_and_publishers_of_the_rooms_are_everybody(plan: Plan) -> None:
    """Rooms differ by one member at most, and so do their publishers."""
    members = [plan.members_of(room) for room in range(plan.rooms)]
    assert members == [sum(plan.room_of(k) == room for k in range(plan.clients)) for room in range(plan.rooms)]
    assert max(members) - min(members) <= 1
    publishers = [plan.publishers_in(room) for room in range(plan.rooms)]
    assert publishers == [sum(plan.room_of(k) == room for k in range(plan.publishers)) for room in range(plan.rooms)]


@given(plans())
def test_the_publishers_of_a_room_have_slots_without_holes(plan: Plan) -> None:
    """So a ledger is a list."""
    for room in range(plan.rooms):
        slots = [plan.slot_of(k) for k in range(plan.publishers) if plan.room_of(k) == room]
        assert slots == list(range(plan.publishers_in(room)))


@given(plans())
def test_the_same_seed_gives_the_same_times_and_sizes(plan: Plan) -> None:
    """In any process, whatever was drawn before."""
    first, second = Schedule(plan, end_ns=SECOND_NS), Schedule(plan, end_ns=SECOND_NS)
    times = list(first.take_due(SECOND_NS))
    assert times == list(second.take_due(SECOND_NS))
    assert [first.size_of(k, n) for _, k, n in times] == [second.size_of(k, n) for _, k, n in reversed(times)][::-1]


@given(plans(), st.lists(st.floats(0, 3), max_size=5))
def test_messages_are_handed_out_in_order_each_once_however_they_are_asked_for(plan: Plan, asks: list[float]) -> None:
    """Lateness of the one who asks moves no intended time."""
    schedule = Schedule(plan, end_ns=2 * SECOND_NS)
    taken = []
    for ask in [*asks, 3.0]:
        taken += list(schedule.take_due(int(ask * SECOND_NS)))
    assert taken == times_of(plan, 2)
    assert taken == sorted(taken, key=lambda message: message[0])
    assert schedule.next_ns is None


@given(plans())
def test_a_client_numbers_its_messages_without_holes_and_only_publishers_have_any(plan: Plan) -> None:
    """0, 1, 2… for each publisher."""
    numbers: dict[int, list[int]] = {}
    for _due, client, number in times_of(plan, 2):
        numbers.setdefault(client, []).append(number)
    assert all(found == list(range(len(found))) for found in numbers.values())
    assert all(client < plan.publishers for client in numbers)


@given(st.integers(0, 2**32), st.floats(1, 500))
def test_fixed_arrivals_stand_on_an_exact_grid(seed: int, period_ms: float) -> None:
    """start + phase + n · period, to the ns."""
    plan = Plan.of(LoadConfig(arrivals="fixed", msg_frequency_ms=period_ms), seed)
    times = [due for due, _, _ in times_of(plan, 1)]
    assert all(due == times[0] + n * plan.period_ns for n, due in enumerate(times))
    assert 0 <= times[0] < plan.period_ns


@given(st.integers(0, 2**32))
def test_jittered_arrivals_stay_near_their_grid(seed: int) -> None:
    """No message is further from its place than the jitter allows, so nobody's rate changes."""
    config = LoadConfig(msg_frequency_ms=100)
    jittered = [due for due, _, _ in times_of(Plan.of(config, seed), 5)]
    grid = [due for due, _, _ in times_of(Plan.of(LoadConfig(msg_frequency_ms=100, arrivals="fixed"), seed), 5)]
    assert abs(len(jittered) - len(grid)) <= 1
    moved = [abs(one - other) for one, other in zip(jittered, grid, strict=False)]
    assert max(moved) <= JITTER * 100e6 + 1
    assert len(set(moved)) > 1


def test_poisson_gaps_have_the_period_as_mean_and_spread() -> None:
    """The gaps of a Poisson process scatter as much as they are long."""
    plan = Plan.of(LoadConfig(msg_frequency_ms=10, arrivals="poisson"), 7)
    times = [due for due, _, _ in times_of(plan, 100)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert 0.95 < statistics.mean(gaps) / 1e7 < 1.05
    assert 0.93 < statistics.stdev(gaps) / statistics.mean(gaps) < 1.07


def test_connections_are_planned_at_the_rate_of_the_ramp() -> None:
    """The hundredth of 500 a second is due after 200 ms."""
    plan = Plan.of(LoadConfig(clients=1000, ramp_per_s=500), 1)
    assert plan.connect_ns(100) == 200_000_000


def test_the_offered_load_is_what_the_options_say() -> None:
    """1,000 clients in 50 rooms at 1/s make 20,000 deliveries/s."""
    plan = Plan.of(LoadConfig(clients=1000, rooms=50), 1)
    assert (plan.offered_per_s, plan.deliveries_per_s) == (1000, 20_000)


@pytest.mark.parametrize("arrivals", ["fixed", "jittered", "poisson"])
def test_no_publisher_gets_further_than_the_plan_says_also_in_bursts_and_long_phases(
    arrivals: Literal["fixed", "jittered", "poisson"],
) -> None:
    """What another process has published beyond that is a phantom, so the bound must hold for every tempo."""
    phases = (Step(name="low", duration_s=40.0), Step(name="high", duration_s=20.0, rate=7.0))
    bursts = (Burst(at_s=5.0, for_s=10.0, factor=5.0),)
    config = LoadConfig(
        clients=20, arrivals=arrivals, msg_frequency_ms=200.0, warmup_s=1.0, phases=phases, events=bursts
    )
    steady_s = sum(step.duration_s for step in phases)
    plan, length_ns = Plan.of(config, 3), round((config.warmup_s + steady_s) * SECOND_NS)
    due = list(Schedule(plan, end_ns=length_ns).take_due(length_ns))
    most = Counter(client for _at, client, _number in due).most_common(1)[0][1]
    assert len(due) > 20 * 5 * steady_s, "there are more than without the tempo"
    assert most <= plan.most_messages(length_ns) < 2 * most + 100
