"""The search's decision against systems whose capacity is known: a cliff, a knee, noise, flakes, and worse."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.capacity.decision import Aim, Observation, Outcome, Probe, Search, Verdict

System = Callable[[float], Outcome]
AIM = Aim(first=100, lowest=1, highest=1_000_000, resolution=0.05)
MOST_PROBES = 200


def search(system: System, aim: Aim = AIM) -> tuple[Verdict, list[tuple[Probe, Outcome]]]:
    """The verdict on a system, and everything that was tried."""
    decision = Search(aim)
    tried: list[tuple[Probe, Outcome]] = []
    step = decision.next_probe(None)
    while isinstance(step, Probe):
        assert len(tried) < MOST_PROBES, "the search does not end"
        outcome = system(step.value)
        tried.append((step, outcome))
        step = decision.next_probe(Observation(step.value, outcome))
    return step, tried


def cliff(capacity: float) -> System:
    return lambda load: "held" if load <= capacity else "failed"


def knee(capacity: float, steepness: float, rng: random.Random) -> System:
    """p99 grows as in a queue, times log-normal noise; the objective holds below 200 ms, which is at `capacity`."""
    limit = capacity / (1 - 1 / steepness)

    def outcome(load: float) -> Outcome:
        if load >= limit:
            return "failed"
        p99 = 200 / steepness / (1 - load / limit)
        return "held" if p99 * math.exp(rng.gauss(0, 0.1)) <= 200 else "failed"

    return outcome


def flaky(system: System, chance: float, rng: random.Random, instead: Outcome = "failed") -> System:
    return lambda load: instead if rng.random() < chance else system(load)


def once(value: float, instead: Outcome, system: System) -> System:
    """The system, but for the first probe of one load."""
    left = {value}

    def outcome(load: float) -> Outcome:
        if load in left:
            left.remove(load)
            return instead
        return system(load)

    return outcome


def steps(tried: list[tuple[Probe, Outcome]]) -> list[tuple[str, float]]:
    return [(probe.step, probe.value) for probe, _ in tried]


def test_it_doubles_bisects_and_confirms_both_ends() -> None:
    """The whole of a search, probe by probe; a failure far above the answer needs no second vote."""
    verdict, tried = search(cliff(330), replace(AIM, resolution=0.1))
    assert steps(tried) == [
        ("first", 100),
        ("double", 200),
        ("double", 400),
        ("bisect", 300),
        ("bisect", 350),
        ("bisect", 325),
        ("confirm", 350),
        ("confirm", 325),
    ]
    assert verdict == Verdict("found", 325, 350, confirmed=True)
    assert tried[3][0] == Probe(300, "bisect", low=200, high=400)


def test_the_ends_of_the_bracket_are_confirmed_by_turns() -> None:
    """What disturbs a machine for some seconds must not have all votes of one end."""
    _, tried = search(cliff(330), replace(AIM, resolution=0.1, confirm=3, out_of=5))
    assert [value for step, value in steps(tried) if step == "confirm"] == [350, 325, 350, 325]


def test_a_failure_that_does_not_happen_again_is_given_up() -> None:
    """Everything above it was ruled out by one bad moment: the search goes on there."""
    verdict, tried = search(once(200, "failed", cliff(1_000)))
    assert [step for step in steps(tried) if step[1] == 200] == [
        ("double", 200),
        ("confirm", 200),
        ("confirm", 200),
    ]
    assert verdict.kind == "found"
    assert verdict.held is not None
    assert verdict.failed is not None
    assert verdict.held <= 1_000 < verdict.failed


@given(capacity=st.integers(1, 900_000), first=st.integers(1, 5_000), resolution=st.sampled_from([0.01, 0.05, 0.2]))
def test_a_cliff_is_bracketed(capacity: int, first: int, resolution: float) -> None:
    """The truth lies in the bracket, which is as narrow as asked, wherever the search begins."""
    aim = replace(AIM, first=float(first), resolution=resolution)
    verdict, tried = search(cliff(capacity), aim)
    assert verdict.kind == "found"
    assert verdict.held is not None
    assert verdict.failed is not None
    assert verdict.held <= capacity < verdict.failed
    assert verdict.failed - verdict.held <= max(1, resolution * verdict.failed)
    assert len(tried) <= 3 * (abs(math.log2(capacity / first)) + math.log2(1 / resolution)) + 10


@given(capacity=st.floats(0.2, 1e5))
def test_a_rate_is_bracketed_as_well(capacity: float) -> None:
    """Quantities that do not come whole are tried with a few digits."""
    verdict, tried = search(cliff(capacity), replace(AIM, first=10, lowest=0.1, whole=False))
    assert verdict.held is not None
    assert verdict.failed is not None
    assert verdict.held <= capacity < verdict.failed
    assert verdict.failed - verdict.held <= 0.05 * verdict.failed * 1.01
    assert all(len(f"{probe.value:g}".replace(".", "").strip("0")) <= 4 for probe, _ in tried)


@given(seed=st.integers(0, 2**32), steepness=st.sampled_from([4.0, 10.0, 40.0]))
def test_a_slow_knee_is_found_within_the_width_of_its_noise(seed: int, steepness: float) -> None:
    """Where 10 % of noise decides, answers scatter by what that noise means in load, and never more."""
    capacity = 5_000.0
    verdict, _ = search(knee(capacity, steepness, random.Random(seed)))
    assert verdict.held is not None
    assert verdict.failed is not None
    # Four sigma of the noise (a factor of 1.5 in p99), at the slope of this knee.
    reach = 0.5 / (steepness - 1)
    assert verdict.held <= capacity * (1 + reach)
    assert verdict.failed >= capacity * (1 - reach)


def test_a_server_that_fails_one_probe_in_twenty_is_measured_all_the_same() -> None:
    """Of 400 searches at least nine in ten have the truth in their bracket, and none is above it."""
    good = 0
    for seed in range(400):
        verdict, _ = search(flaky(cliff(5_000), 0.05, random.Random(seed)))
        assert verdict.held is not None
        assert verdict.held <= 5_000
        good += verdict.failed is not None and verdict.failed > 5_000
    assert good >= 360


def test_more_votes_mean_less_luck() -> None:
    """With 3 of 5 a flaky server is bracketed in 98 searches of a hundred."""
    aim = replace(AIM, confirm=3, out_of=5)
    verdicts = [search(flaky(cliff(5_000), 0.05, random.Random(seed)), aim)[0] for seed in range(400)]
    assert sum(verdict.failed is not None and verdict.failed > 5_000 for verdict in verdicts) >= 392


def test_an_answer_that_does_not_hold_again_is_given_up() -> None:
    """A lucky probe becomes the upper end once it has failed its confirmation."""
    verdict, tried = search(once(300, "held", cliff(250)), replace(AIM, resolution=0.2))
    assert ("confirm", 300) in steps(tried)
    assert verdict == Verdict("found", 250, 300, confirmed=True)


def test_what_the_load_client_cannot_do_makes_the_answer_a_lower_bound() -> None:
    """The search closes in on the load client's own limit, and says that it is that."""

    def limited(load: float) -> Outcome:
        return "generator" if load > 1_100 else "held"

    verdict, tried = search(limited)
    assert verdict.kind == "generator"
    assert verdict.held is not None
    assert verdict.failed is not None
    assert verdict.held <= 1_100 < verdict.failed
    assert verdict.failed / verdict.held < 1.06
    assert len([value for _, value in steps(tried) if value == 1_600]) == 1
    assert [outcome for probe, outcome in tried if probe.value == verdict.failed] == ["generator", "generator"]


def test_an_overloaded_load_client_once_is_an_accident() -> None:
    """As an end of the bracket it is tried again, holds, and the search goes on above it."""
    verdict, tried = search(once(400, "generator", cliff(3_000)))
    assert ("confirm", 400) in steps(tried)
    assert verdict.kind == "found"


def test_too_few_messages_are_a_reason_to_go_up_and_not_down() -> None:
    """Where nothing can be judged below the load that fails, there is no answer."""
    verdict, tried = search(lambda load: "sparse" if load < 500 else cliff(2_000)(load))
    assert verdict.kind == "found"
    assert all(step != "halve" for step, _ in steps(tried))
    verdict, _ = search(lambda load: "sparse" if load < 500 else "failed")
    assert (verdict.kind, verdict.held) == ("unclear", None)
    assert verdict.failed == 500


def test_figures_that_no_load_mends_end_the_search() -> None:
    """A clock that cannot be trusted will not be better at another load."""
    verdict, tried = search(lambda load: "unclear" if load > 300 else "held")
    assert verdict == Verdict("unclear", 200, 400, confirmed=False)
    assert len(tried) == 4


def test_a_disturbed_probe_is_no_vote() -> None:
    """It is played again, however often; whoever finds it disturbed sees to an end."""
    outcomes = iter(["held", *["disturbed"] * 5, "failed"])
    decision = Search(AIM)
    decision.next_probe(None)
    seen = [decision.next_probe(Observation(value, next(outcomes))) for value in (100, 200, 200, 200, 200, 200)]  # type: ignore[arg-type]
    assert seen == [Probe(200, "double", 100, None), *[Probe(200, "repeat", 100, None)] * 5]
    assert decision.next_probe(Observation(200, next(outcomes))) == Probe(150, "bisect", 100, 200)  # type: ignore[arg-type]


def test_a_load_whose_windows_never_agree_does_not_hold() -> None:
    """Unsteady once is tried again, unsteady twice is an answer."""
    verdict, _ = search(lambda load: "unsteady" if 1_000 < load < 1_500 else cliff(1_000)(load))
    assert verdict.held is not None
    assert verdict.failed is not None
    assert verdict.held <= 1_000 < verdict.failed


def test_one_unsteady_probe_in_five_only_costs_time() -> None:
    """The vote is taken again; the truth is bracketed nearly always."""
    good = 0
    for seed in range(200):
        verdict, _ = search(flaky(cliff(5_000), 0.1, random.Random(seed), instead="unsteady"))
        good += verdict.failed is not None and verdict.failed > 5_000
    assert good >= 170


@pytest.mark.parametrize("outcome, kind", [("failed", "none"), ("generator", "generator")])
def test_a_system_that_never_holds_is_tried_down_to_one(outcome: Outcome, kind: str) -> None:
    """A hundred, fifty, … one, each as often as it takes to be sure."""
    verdict, tried = search(lambda _: outcome)
    assert verdict == Verdict(kind, None, 1, confirmed=False)  # type: ignore[arg-type]
    assert {probe.value for probe, _ in tried} == {100, 50, 25, 12, 6, 3, 1}


def test_the_ceiling_is_not_exceeded_and_must_be_confirmed() -> None:
    """When it holds the answer is "at least"."""
    verdict, tried = search(cliff(10_000), replace(AIM, highest=700))
    assert verdict == Verdict("ceiling", 700, None, confirmed=True)
    assert steps(tried)[-2:] == [("double", 700), ("confirm", 700)]


def test_a_search_that_is_stopped_tells_what_it_knows() -> None:
    """The bracket so far, and that nothing confirmed it."""
    decision = Search(AIM)
    assert decision.unfinished() == Verdict("unfinished", None, None, confirmed=False)
    decision.next_probe(None)
    decision.next_probe(Observation(100, "held"))
    decision.next_probe(Observation(200, "failed"))
    assert decision.unfinished() == Verdict("unfinished", 100, 200, confirmed=False)
