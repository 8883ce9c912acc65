"""Several experiments are played whatever becomes of each, and the table says what was seen."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio
from rich.console import Console

from scalechat.analysis.experiment import PlayedExperiment
from scalechat.config import OperationalError, UsageError
from scalechat.experiment.catalogue import catalogue, chosen
from scalechat.experiment.command import exit_code, play_each
from scalechat.experiment.saying import Saying
from scalechat.experiment.spec import Experiment
from scalechat.experiment.telling import Tried, listing, summary, summary_json
from tests.analysis.played import play_with
from tests.analysis.synthetic import Case

SLOW, FAST = Case(latency_ms=90), Case()


class Stage:
    """Plays named experiments: the first is shown, the second is not, the third cannot run, the fourth never ends."""

    def __init__(self, directory: Path) -> None:
        self.shown = play_with(directory / "shown", SLOW, FAST)
        self.not_shown = play_with(directory / "not-shown", FAST, FAST)
        self.wanted = [(name, self.shown.outcome.experiment) for name in ("shown", "not-shown", "away", "endless")]
        self.ended = False

    async def play(self, name: str, _experiment: Experiment) -> PlayedExperiment:
        await trio.sleep(20)
        match name:
            case "shown":
                return self.shown
            case "not-shown":
                return self.not_shown
            case "away":
                # Trio hands it on in as many groups as there are nurseries
                raise BaseExceptionGroup("", [ExceptionGroup("", [OperationalError("no redis-server here")])])
        try:
            await trio.sleep_forever()
        finally:
            self.ended = True
        raise AssertionError("unreachable")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


async def played(stage: Stage, names: int) -> list[Tried]:
    tried: list[Tried] = []
    with trio.move_on_after(1000):
        await play_each(stage.wanted[:names], stage.play, tried.append, Saying(Console(stderr=True)))
    return tried


def text_of(tried: list[Tried]) -> str:
    console = Console(width=150)
    with console.capture() as captured:
        console.print(summary(tried))
    return captured.get()


async def test_a_failed_experiment_keeps_no_other_from_being_played(stage: Stage, autojump_clock: object) -> None:
    """Neither a symptom that did not appear nor surroundings that were away; the exit code is the first's that did."""
    tried = await played(stage, 3)
    assert [one.name for one in tried] == ["shown", "not-shown", "away"]
    assert [one.succeeded for one in tried] == [True, False, False]
    assert exit_code(tried, interrupted=False) == 99
    assert exit_code(tried[2:], interrupted=False) == 1
    assert exit_code(tried[:1], interrupted=False) == 0


async def test_the_table_has_a_row_for_each_with_its_seconds(stage: Stage, autojump_clock: object) -> None:
    _, shown, not_shown, away = text_of(await played(stage, 3)).rstrip().splitlines()
    assert shown.split()[4:6] == ["yes", "yes"]
    assert "→" in shown
    assert not_shown.split()[4:6] == ["NO", "yes"]
    assert "no redis-server here" in away
    assert all(line.split()[-1] == "20" for line in (shown, not_shown, away))


async def test_an_interruption_leaves_what_was_measured(stage: Stage, autojump_clock: object) -> None:
    """The one that was being played is ended in order and is in no table; the code says that it was not all."""
    tried = await played(stage, 4)
    assert stage.ended
    assert [one.name for one in tried] == ["shown", "not-shown", "away"]
    assert exit_code(tried, interrupted=True) == 105


async def test_programs_get_the_same_as_numbers(stage: Stage, autojump_clock: object) -> None:
    document = msgspec.json.decode(summary_json(await played(stage, 3), interrupted=False))
    shown, not_shown, away = document["experiments"]
    assert (shown["symptom_seen"], shown["cure_seen"], shown["took_s"]) == (True, True, 20)
    assert shown["figures"]["before"]["delivery_p99"] > 2 * shown["figures"]["after"]["delivery_p99"]
    assert not_shown["symptom_seen"] is False
    assert (away["failure"], away["cure_seen"]) == ("no redis-server here", None)


async def test_a_bug_of_ours_is_not_passed_over(stage: Stage) -> None:
    async def wrong(_name: str, _experiment: Experiment) -> PlayedExperiment:
        raise ExceptionGroup("", [OperationalError("away"), ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        await play_each(stage.wanted[:1], wrong, print, Saying(Console(stderr=True)))


def test_the_list_has_every_experiment_under_its_group() -> None:
    console = Console(width=150)
    with console.capture() as captured:
        console.print(listing(chosen(["all"], catalogue())))
    text = captured.get()
    assert all(name in text for name in catalogue())
    assert text.index("connections") < text.index("accept-queue") < text.index("slow clients")


def test_a_name_that_is_nearly_one_is_asked_about() -> None:
    with pytest.raises(UsageError, match="did you mean 'heartbeat-storm'"):
        chosen(["heartbeat-strom"], catalogue())
