"""Pauses, bursts and steps: one warp of time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load.plan import SECOND_NS, Plan, Schedule
from scalechat.load.tempo import Tempo
from scalechat.scenario import Burst, Pause, Step

EVENTS = st.lists(
    st.builds(Pause, at_s=st.integers(0, 9), for_s=st.integers(1, 5))
    | st.builds(Burst, at_s=st.integers(0, 9), for_s=st.integers(1, 5), factor=st.sampled_from([0.5, 3.0])),
    max_size=3,
)


@given(EVENTS, st.floats(0, 2e10))
def test_a_beat_is_never_before_its_time(events: list[Pause | Burst], beat: float) -> None:
    """By `when(beat)` so many beats have passed, and no more than a rounding before."""
    tempo = Tempo.of(LoadConfig(warmup_s=1, duration_s=20, events=tuple(events)))
    at_ns = tempo.when(beat)
    assert abs(tempo.beats_by(at_ns) - beat) <= 30  # in one ns, at three bursts at once
    assert tempo.when(beat + 1000) >= at_ns


def test_nothing_is_due_in_a_pause_and_more_in_a_burst() -> None:
    """Counts per second follow the rates; before and after, nothing is made up for."""
    events = (Pause(at_s=2, for_s=2), Burst(at_s=5, for_s=1, factor=4))
    steps = (Step(name="a", duration_s=7), Step(name="b", duration_s=2, rate=2))
    config = LoadConfig(clients=10, warmup_s=0, msg_frequency_ms=100, arrivals="fixed", events=events, phases=steps)
    end_ns = 9 * SECOND_NS
    due = [at for at, _client, _number in Schedule(Plan.of(config, 1), end_ns=end_ns).take_due(end_ns)]
    counts = [sum(at // SECOND_NS == second for at in due) for second in range(9)]
    assert counts == [100, 100, 0, 0, 100, 400, 100, 200, 200]
