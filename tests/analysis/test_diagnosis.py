"""The diagnosis names a known cause and is silent about a healthy run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from scalechat.analysis import diagnosis, titles
from scalechat.analysis.frames import RunFrames, load_run

from .conftest import Analyse
from .recorded import HERE, names, recorded
from .synthetic import Case


def test_a_healthy_run_has_no_finding(healthy: RunFrames) -> None:
    """Nothing at its limit: no finding, and the headline says so."""
    assert diagnosis.diagnose(healthy) == []
    assert "nothing was at its limit" in titles.headline(healthy)


@pytest.mark.parametrize(
    "case, cause, side",
    [
        (Case(server_cores=0.97), "the server's core", "server"),
        (Case(server_cores=0.6, server_waiting=0.35), "the server's core", "server"),
        (Case(server_cores=0.2, server_waiting=0.75), "other programs on the server's core", "server"),
        (Case(server_cores=0.2, server_waiting=0.75, server_quota=0.2), "the server's CPU quota", "server"),
        (Case(server_lag_s=0.25), "the server's event loop", "server"),
        (Case(evicted=3), "slow consumers", "server"),
        (Case(away=100), "clients that were away", "server"),
        (Case(generator_cores=0.92), "the load generator", "generator"),
        (Case(invalid="clock error 40 ms"), "the load generator", "generator"),
    ],
)
def test_a_known_cause_is_named(analyse: Analyse, case: Case, cause: str, side: str) -> None:
    """One cause put in, that one cause comes out, with evidence and a next step."""
    (finding,) = diagnosis.diagnose(analyse(case))
    assert (finding.cause, finding.side) == (cause, side)
    assert finding.evidence
    assert finding.next_step


CAUSES = {
    "accept": "the accept queue",
    "drops": "the drop policy",
    "files": "the server's open files",
    "gc": "garbage collections",
    "generator": "the load generator",
    "hidden": "queues outside the server's sight",
    "loadquota": "the generator's CPU quota",
    "memory": "the server's memory",
    "quota": "the server's CPU quota",
    "redis": "Redis",
    "restart": "a restart of the server",
    "size": "the server's CPU quota",
    "slow": "slow consumers",
    "square": "the server's CPU quota",
    "stopped": "the server's event loop",
}
"""Recorded run → what was done to it, see recorded/README.md."""
BEHIND = {
    "size": "the size of the messages",
    "square": "everybody talking to everybody",
}
"""What filled the limit that comes first, where that was done to it."""
HEALTHY = {"oneroom", "rhealthy", "rooms"}


@pytest.mark.parametrize("name", sorted(set(names()) - HEALTHY))
def test_the_cause_of_a_recorded_run_is_found(name: str) -> None:
    """Real servers with one thing done to them: that thing comes first, with figures and their sources."""
    first, *others = diagnosis.diagnose(recorded(name))
    assert first.cause == CAUSES[name]
    assert all(evidence.figure and evidence.source for evidence in first.evidence)
    assert name not in BEHIND or BEHIND[name] in [other.cause for other in others]
    # What else is said is less sure, or the room's arithmetic behind it.
    assert all(other.strength != "certain" for other in others)


def test_an_end_without_a_reason_to_be_seen_is_said_to_be_one(tmp_path: Path) -> None:
    """The run whose server the memory limit ended, with memory that stayed as it was."""
    run = shutil.copytree(HERE / "memory", tmp_path / "run")
    rows = pd.read_csv(run / "server.csv")
    rows.loc[rows["metric"] == "process_resident_memory_bytes", "value"] = 8e7
    rows.to_csv(run / "server.csv", index=False)
    first, *_ = diagnosis.diagnose(load_run(run))
    assert (first.cause, first.strength, first.page) == ("the end of the server", "certain", "unclean-restart.md")


@pytest.mark.parametrize("name", sorted(HEALTHY & set(names())))
def test_nothing_is_found_in_a_healthy_recorded_run(name: str) -> None:
    """Silence: no rule takes the ordinary unevenness of a real machine for a cause."""
    assert diagnosis.diagnose(recorded(name)) == []


def test_every_page_that_a_rule_names_is_there() -> None:
    """Nobody is sent to a page of the catalogue that does not exist."""
    pages = {
        page
        for module in Path(diagnosis.__file__).parent.glob("*.py")
        for page in re.findall(r'"([a-z0-9-]+\.md)"', module.read_text(encoding="utf-8"))
    }
    assert len(pages) > 5
    catalogue = Path(__file__).resolve().parents[2] / "docs" / "scale-problems"
    assert pages <= {path.name for path in catalogue.glob("*.md")}


def test_a_full_core_explains_the_loop_lag(analyse: Analyse) -> None:
    """Loop lag beside a full core is its symptom, not a second cause."""
    found = diagnosis.diagnose(analyse(Case(server_cores=0.97, server_lag_s=0.25)))
    assert [finding.cause for finding in found] == ["the server's core"]


def test_a_server_without_metrics_is_not_called_healthy(analyse: Analyse) -> None:
    """What cannot be seen is said to be unseen."""
    foreign = analyse(Case(foreign=True))
    assert [usage.side for usage in diagnosis.usages(foreign)] == ["generator"]
    assert "the server shows no metrics" in titles.headline(foreign)
