"""Every client is played by one process, and rooms stay whole where that is fair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load.plan import SECOND_NS, Plan, Schedule, Share


@st.composite
def fleets(draw: st.DrawFn) -> list[Plan]:
    clients = draw(st.integers(1, 60))
    config = LoadConfig(clients=clients, rooms=draw(st.integers(1, clients)), msg_frequency_ms=200)
    count = draw(st.integers(1, 6))
    return [Plan.of(config, 1, Share(index, count)) for index in range(count)]


@given(fleets())
def test_the_shares_are_a_partition_of_the_plan(plans: list[Plan]) -> None:
    """Of its clients, and of its messages with their times."""
    whole = Plan.of(LoadConfig(clients=plans[0].clients, rooms=plans[0].rooms, msg_frequency_ms=200), 1)
    assert sorted(client for plan in plans for client in plan.mine()) == list(range(whole.clients))

    def times(plan: Plan) -> list[tuple[int, int, int]]:
        return list(Schedule(plan, end_ns=SECOND_NS).take_due(SECOND_NS))

    assert sorted(entry for plan in plans for entry in times(plan)) == sorted(times(whole))


@given(fleets())
def test_whole_rooms_are_in_one_process_and_split_ones_are_dealt_out(plans: list[Plan]) -> None:
    """Either way no process has many more clients than another."""
    plan = plans[0]
    workers_of = {
        room: {plan.worker_of(k) for k in range(room, plan.clients, plan.rooms)} for room in range(plan.rooms)
    }
    if plan.rooms_are_whole:
        assert all(len(workers) == 1 for workers in workers_of.values())
    sizes = [len(other.mine()) for other in plans]
    if not plan.rooms_are_whole:
        assert max(sizes) - min(sizes) <= plan.rooms
    else:
        assert max(sizes) <= (min(sizes) + plan.members_of(0)) * 9 / 8
