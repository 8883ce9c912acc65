"""A short experiment from its file to its result, with real processes."""

from pathlib import Path

import pytest

from scalechat.config import OperationalError
from scalechat.experiment.checks import Check
from scalechat.experiment.outcome import read_outcome
from scalechat.experiment.play import play
from scalechat.experiment.spec import Action, Experiment, Side


def experiment(*checks: Check, before: Side, after: Side) -> Experiment:
    return Experiment(
        number=0,
        group="fan-out",
        title="A test",
        hypothesis="it works",
        reveals="clients",
        story="none",
        page="none",
        compose="none",
        finding="{before.clients} and {after.clients}",
        before=before,
        after=after,
        checks=list(checks),
        load={"clients": 4, "duration": 1, "warmup": 0, "drain_timeout": 1},
    )


async def test_both_runs_are_kept_and_the_checks_say_what_was_seen(tmp_path: Path) -> None:
    """The outcome that is read back is the one that was found; a check that does not hold fails the experiment."""
    told: list[str] = []
    now: list[str] = []
    one = experiment(
        Check("symptom", "before.clients == 2 * after.clients"),
        Check("cure", "after.missing > 0"),
        before=Side("four"),
        after=Side("two", load={"clients": 2}),
    )
    directory, outcome = await play("test", one, tmp_path, told.append, now.append)
    assert outcome.seen("symptom")
    assert not outcome.seen("cure")
    assert not outcome.succeeded
    assert outcome.figures["before"]["clients"] == 4
    assert read_outcome(directory) == outcome
    assert all((directory / run / "run.json").is_file() for run in outcome.runs.values())
    assert [line for line in told if line.startswith("before: four")]
    assert [line for line in now if "4 clients in 1 room" in line]
    assert [line for line in now if "  drain  " in line]


async def test_a_server_killed_in_the_middle_is_started_again(tmp_path: Path) -> None:
    """Actions happen to the parts while the load client is at work."""
    killed = Side("killed", actions=[Action(at_s=1.0, part="server", do="kill")], load={"duration": 2})
    one = experiment(
        Check("symptom", "before.disconnects == 4"),
        Check("cure", "after.disconnects == 0"),
        before=killed,
        after=Side("left alone"),
    )
    _, outcome = await play("test", one, tmp_path, print, print)
    assert outcome.succeeded, outcome


async def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    wrong = Side("wrong", server={"fanout": "telepathy"})
    one = experiment(
        Check("symptom", "before.clients > 0"), Check("cure", "after.clients > 0"), before=wrong, after=wrong
    )
    with pytest.raises(BaseExceptionGroup) as caught:
        await play("test", one, tmp_path, print, print)
    assert caught.group_contains(OperationalError, match="telepathy")


def test_what_is_no_experiment_is_told(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="no experiment"):
        read_outcome(tmp_path)
