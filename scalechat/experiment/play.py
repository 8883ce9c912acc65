"""Play an experiment: the run with the symptom, the run with the cure, the checks; what is found is written down.

runs/<id>-<name>/
    experiment.json     the experiment, the figures of both runs, the checks
    experiment.md       the same for people: table, picture, paragraph
    picture.svg
    before/<run_id>/    a run directory
    after/<run_id>/     another
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scalechat.experiment.checks import check
from scalechat.experiment.figures import figures_of
from scalechat.experiment.limits import held
from scalechat.experiment.loading import load
from scalechat.experiment.outcome import Outcome, write_outcome
from scalechat.experiment.spec import Experiment, Side, workers_in
from scalechat.experiment.stage import raised
from scalechat.load.results import new_run_id

Tell = Callable[[str], None]


async def play(name: str, experiment: Experiment, out: Path, tell: Tell, say_now: Tell) -> tuple[Path, Outcome]:
    """Do it; returns the directory and what was found. `tell` gets what is worth keeping, `say_now` how a run goes.

    Raises:
        OperationalError: a part of the stage did not start, or the results cannot be written.
    """
    directory = out / f"{new_run_id()}-{name}"
    found: dict[str, dict[str, float]] = {}
    runs: dict[str, str] = {}
    unheld: list[str] = []
    for side_name, side in experiment.sides:
        tell(f"{side_name}: {side.about}")
        run_dir, here = await _run(experiment, side, directory / side_name, say_now)
        for words in here:
            if words not in unheld:
                tell(words)
                unheld.append(words)
        runs[side_name] = str(run_dir.relative_to(directory))
        found[side_name] = figures_of(run_dir)
    results = [check(wanted, found["before"], found["after"]) for wanted in experiment.checks]
    shown = experiment.figures_shown
    figures = {side: {name: values[name] for name in shown if name in values} for side, values in found.items()}
    outcome = Outcome(name, experiment, runs, figures, results, unheld)
    write_outcome(directory, outcome)
    return directory, outcome


async def _run(experiment: Experiment, side: Side, out: Path, say_now: Tell) -> tuple[Path, list[str]]:
    """The run's directory, and which limits could not be held."""
    for_server, for_load = experiment.limits(side)
    settings = experiment.server | side.server
    workers = workers_in(settings)
    with held(for_server, "server", workers=workers) as server, held(for_load, "load") as client:
        unheld = [f"{name}: {words}" for name, one in (("server", server), ("load", client)) for words in one.unheld]
        async with raised(side, settings, experiment.sysctls, server) as (url, enter, begin):
            words = [*enter, *client.enter]
            return await load(experiment.load | side.load, url, out, words, begin, say_now), unheld
