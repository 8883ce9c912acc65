"""A played experiment for tests: two synthetic runs and what they are said to have shown."""

from __future__ import annotations

from pathlib import Path

from scalechat.analysis.experiment import PlayedExperiment, load_experiment
from scalechat.experiment.checks import Check, check
from scalechat.experiment.figures import figures_of
from scalechat.experiment.limits import Limits
from scalechat.experiment.outcome import Outcome, write_outcome
from scalechat.experiment.spec import Experiment, Side

from .synthetic import Case, write_run

DRAWS = ["latency.delivery", "gauge.connections_open"]


def play_with(
    directory: Path,
    before: Case,
    after: Case,
    *,
    draws: list[str] = DRAWS,
    symptom: str = "before.delivery_p99 > 2 * after.delivery_p99",
) -> PlayedExperiment:
    """What `experiment` leaves, from runs of two cases."""
    one = Experiment(
        number=3,
        group="fan-out",
        title="A <slow> thing",
        hypothesis="slow & late",
        reveals="delivery_p99",
        story="It is slow. `--fast` helps.",
        page="slow.md",
        compose="docker compose run server",
        finding="p99 was {before.delivery_p99}, now {after.delivery_p99}",
        before=Side("the old | way", server={"backlog": 4}, server_limits=Limits(cores=[0])),
        after=Side("the new way"),
        checks=[Check("symptom", symptom), Check("cure", "after.missing == 0")],
        shows=["expected", "server.queue_bytes.max", "nothing_measured"],
        draws=draws,
    )
    paths = {"before": write_run(directory / "before", before), "after": write_run(directory / "after", after)}
    found = {side: figures_of(path) for side, path in paths.items()}
    outcome = Outcome(
        name="slow",
        experiment=one,
        runs={side: str(path.relative_to(directory)) for side, path in paths.items()},
        figures={side: {k: v for k, v in f.items() if k in one.figures_shown} for side, f in found.items()},
        checks=[check(wanted, found["before"], found["after"]) for wanted in one.checks],
    )
    write_outcome(directory, outcome)
    return load_experiment(directory)
