"""Comparing systems that differ by a known amount, or not at all."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from scalechat.analysis import tables
from scalechat.analysis.comparing import checked, compare_and_tell, find_runs
from scalechat.analysis.comparison import FIGURES, Comparison, Effect, compare, effect_of
from scalechat.analysis.conditions import differences
from scalechat.analysis.frames import RunFrames, load_run
from scalechat.config import CompareConfig, OperationalError, UsageError
from scalechat.intervals import Estimate, of_runs

from .searches import write_search
from .synthetic import Case, write_run

P50, P99 = FIGURES[0], FIGURES[1]
TAIL = 0.025 / 8


def runs(out: Path, case: Case, seeds: range) -> list[RunFrames]:
    return [load_run(write_run(out, case, seed)) for seed in seeds]


def effects(comparison: Comparison) -> dict[str, Effect]:
    return {effect.figure: effect for effect in comparison.effects}


def side(rng: np.random.Generator, truth: float, runs: int) -> Estimate:
    """Runs of a system whose p99 scatters by 6 % from run to run."""
    return of_runs(list(truth * np.exp(rng.normal(0, 0.06, runs))))


def test_one_run_of_each_that_is_twenty_percent_slower_is_found(tmp_path: Path) -> None:
    """Every percentile is worse, by about as much, and what did not change is not."""
    base = runs(tmp_path / "a", Case(steady_s=30), range(1))
    new = runs(tmp_path / "b", Case(steady_s=30, latency_ms=3.6), range(50, 51))
    comparison = compare(base, new)
    found = effects(comparison)
    for name in ("delivery p50", "delivery p99"):
        assert found[name].answer == "worse"
        assert found[name].low <= 0.2 <= found[name].high
    assert found["throughput"].answer == "same"
    assert found["server memory"].answer == "cannot tell"
    assert comparison.answer == "worse"
    assert comparison.within_runs_only
    assert effects(compare(new, base))["delivery p99"].answer == "better"


def test_three_runs_of_each_that_are_twenty_percent_slower_are_found(tmp_path: Path) -> None:
    """With several runs the run is the unit, and memory can be compared as well."""
    base = runs(tmp_path / "a", Case(), range(3))
    new = runs(tmp_path / "b", Case(latency_ms=3.6), range(50, 53))
    found = effects(compare(base, new))
    assert found["delivery p50"].answer == "worse"
    assert found["delivery p50"].change == pytest.approx(0.2, abs=0.03)
    assert found["server memory"].answer == "same"


def test_equal_systems_are_not_told_apart(tmp_path: Path) -> None:
    """Forty pairs of runs of one system: at most two find something in any of their figures."""
    some = runs(tmp_path, Case(clients=30, rooms=1, steady_s=12), range(80))
    wrong = [compare([a], [b]).answer in ("worse", "better") for a, b in zip(some[::2], some[1::2], strict=True)]
    assert sum(wrong) <= 2


@pytest.mark.parametrize("number", [3, 5, 10])
def test_runs_that_scatter_are_told_apart_no_more_often_than_stated(number: int) -> None:
    """2,000 comparisons of a system with itself: a figure is wrong once in 160 times, and never much more."""
    rng = np.random.default_rng(number)
    answers = [
        effect_of(P99, side(rng, 20, number), side(rng, 20, number), margin=0.0, tail=TAIL).answer for _ in range(2_000)
    ]
    assert sum(answer in ("worse", "better") for answer in answers) <= 2 * 2_000 * 2 * TAIL


def test_five_runs_of_each_find_twenty_percent_in_most_cases() -> None:
    """Of 500 comparisons whose runs scatter by 6 %, more than two in three."""
    rng = np.random.default_rng(7)
    answers = [effect_of(P99, side(rng, 20, 5), side(rng, 24, 5), margin=0.05, tail=TAIL).answer for _ in range(500)]
    assert answers.count("worse") > 340
    assert "better" not in answers


@pytest.mark.parametrize(
    "base, new, answer",
    [
        (Estimate(10, 0.01, 20), Estimate(12, 0.01, 20), "worse"),
        (Estimate(10, 0.01, 20), Estimate(8, 0.01, 20), "better"),
        (Estimate(10, 0.005, 20), Estimate(10.1, 0.005, 20), "same"),
        (Estimate(10, 0.1, 20), Estimate(12, 0.1, 20), "cannot tell"),
        (Estimate(10, 0.0, 20), Estimate(10, 0.0, 20), "same"),
        (Estimate(10, math.nan, math.nan), Estimate(20, 0.01, 20), "cannot tell"),
        (Estimate(math.nan, math.nan, math.nan), Estimate(20, 0.01, 20), "cannot tell"),
        (Estimate(0, 0, 9, relative=False), Estimate(5, 0.5, 9, relative=False), "worse"),
        (Estimate(0, 0, 9, relative=False), Estimate(0, 0, 9, relative=False), "same"),
        (Estimate(0, 0, 9, relative=False), Estimate(5, 4, 9, relative=False), "cannot tell"),
    ],
)
def test_the_answer_follows_from_the_interval_and_the_margin(base: Estimate, new: Estimate, answer: str) -> None:
    """A change is real when its interval leaves out none, and matters when it is above the margin."""
    assert effect_of(P50, base, new, margin=0.05, tail=TAIL).answer == answer


def test_an_interval_of_all_that_is_possible_is_not_shown() -> None:
    """Two runs against two may give millions of percent; what is said is what to do."""
    effect = effect_of(P50, Estimate(10, 0.3, 1), Estimate(2, 0.3, 1), margin=0.05, tail=TAIL)
    assert math.isnan(effect.high)
    assert effect.why is not None
    assert "more runs" in effect.why
    assert effect.change == pytest.approx(-0.8)


# ---- what may be compared ----------------------------------------------------------------------


def test_what_differs_in_the_load_is_listed_and_refused(tmp_path: Path) -> None:
    """Every difference by name, unless it is allowed; it is told then all the same."""
    base, new = runs(tmp_path / "a", Case(), range(1)), runs(tmp_path / "b", Case(clients=100, rooms=2), range(1))
    with pytest.raises(UsageError, match=r"clients: 200 → 100 · rooms: 4 → 2.*--allow-different"):
        checked(base, new, allow_different=False)
    assert checked(base, new, allow_different=True).against == ("clients: 200 → 100", "rooms: 4 → 2")


def test_a_closed_loop_is_refused_beside_an_open_one_and_its_report_says_what_it_is(tmp_path: Path) -> None:
    """Its latencies leave out what its clients would have waited for; runs of older versions are open loops."""
    (opened,) = runs(tmp_path, Case(), range(1))
    assert opened.run.manifest is not None
    closed = replace(opened.run, manifest=msgspec.structs.replace(opened.run.manifest, loop="closed"))
    assert differences([opened.run], [closed]).against == ("loop: open → closed",)
    assert differences([opened.run], [opened.run]).against == ()
    assert "closed loop: " in tables.verdict(RunFrames(closed)).html
    assert "closed loop: " not in tables.verdict(opened).html


def test_runs_that_cannot_be_trusted_are_refused(tmp_path: Path) -> None:
    """Invalid ones by their reason; unfinished ones always, because nothing is known of them."""
    fine, bad = runs(tmp_path / "a", Case(), range(1)), runs(tmp_path / "b", Case(invalid="too busy"), range(1))
    assert differences([fine[0].run], [bad[0].run]).against[0].endswith("is invalid: too busy")
    unfinished = runs(tmp_path / "c", Case(finished=False), range(1))
    with pytest.raises(OperationalError, match="was not finished"):
        differences([fine[0].run], [unfinished[0].run])


def test_another_server_is_the_subject_and_no_obstacle(tmp_path: Path) -> None:
    """Its version is told with the answer."""
    base, new = runs(tmp_path / "a", Case(), range(1)), runs(tmp_path / "b", Case(foreign=True), range(1))
    found = differences([base[0].run], [new[0].run])
    assert found.against == ()
    assert "target's version: 0.1.0 → None" in found.besides


def test_a_directory_of_runs_and_a_pattern_are_sets_of_runs(tmp_path: Path) -> None:
    """And one run is a set of one."""
    written = runs(tmp_path / "a", Case(clients=20, rooms=1, steady_s=4), range(3))
    assert len(find_runs(tmp_path / "a")) == 3
    assert len(find_runs(tmp_path / "a" / "run-[12]")) == 2
    assert len(find_runs(written[0].run.path)) == 1
    with pytest.raises(UsageError, match="no run in"):
        find_runs(tmp_path / "nothing")


@pytest.mark.parametrize("finished", [True, False])
def test_a_capacity_search_is_refused_and_its_probes_are_named(tmp_path: Path, finished: bool) -> None:
    """Whichever side it is on, alone or among runs, and also when it was cut off."""
    search = write_search(tmp_path / "searches")
    if not finished:
        (search / "run.json").unlink()
    run = write_run(tmp_path / "runs", Case(steady_s=4), 1)
    for base, new in ((search, run), (run, search)):
        with pytest.raises(UsageError, match=r"is a capacity search: compare runs, .* in .*probes$"):
            compare_and_tell(CompareConfig(base=base, new=new), Console(file=io.StringIO()))


def test_what_is_said_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table with an answer a figure, 99 when anything is worse, and JSON for a program."""
    write_run(tmp_path / "a", Case(steady_s=30), 1)
    write_run(tmp_path / "b", Case(steady_s=30, latency_ms=4.5), 2)
    config = CompareConfig(tmp_path / "a", tmp_path / "b")
    assert compare_and_tell(config, Console(width=120)) == 99
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == "answer    worse"
    assert "one run on a side" in text
    assert compare_and_tell(CompareConfig(tmp_path / "b", tmp_path / "a", json=True), Console(width=120)) == 0
    assert '"answer": "better"' in capsys.readouterr().out
    assert compare_and_tell(replace(config, new=tmp_path / "a"), Console(width=120)) == 0


def test_a_narrow_terminal_gets_signs_and_reasons_once(tmp_path: Path) -> None:
    """Every figure with both values, the change and its interval; nothing is wider than the terminal."""
    write_run(tmp_path / "a", Case(steady_s=30), 1)
    write_run(tmp_path / "b", Case(steady_s=30, latency_ms=4.5), 2)
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, no_color=True, legacy_windows=False)
    assert compare_and_tell(CompareConfig(tmp_path / "a", tmp_path / "b"), console) == 99
    lines = [Text.from_ansi(line).plain for line in stream.getvalue().splitlines()]
    whole = "\n".join(lines)
    assert re.search(r"^✗ delivery p50 +[\d.]+ → [\d.]+ ms +\+\d+ % \(\+\d+ … \+\d+\)$", whole, re.MULTILINE)
    assert "✓ better, ✗ worse, = same, ? cannot tell" in lines
    assert whole.count("needs several runs on each side") == 1
    table = lines[: lines.index("✓ better, ✗ worse, = same, ? cannot tell")]
    assert all(len(line) <= 80 for line in table if not line.startswith("differs"))
