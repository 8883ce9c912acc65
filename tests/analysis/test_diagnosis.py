"""The diagnosis names a known cause and is silent about a healthy run."""

from __future__ import annotations

import pytest

from scalechat.analysis import diagnosis, titles
from scalechat.analysis.frames import RunFrames

from .conftest import Analyse
from .synthetic import Case


def test_a_healthy_run_has_no_finding(healthy: RunFrames) -> None:
    """Nothing at its limit: no finding, and the headline says so."""
    assert diagnosis.diagnose(healthy) == []
    assert "nothing was at its limit" in titles.headline(healthy)


@pytest.mark.parametrize(
    "case, cause, side",
    [
        (Case(server_cores=0.97), "the server's core", "server"),
        (Case(server_lag_s=0.25), "the server's event loop", "server"),
        (Case(evicted=3), "slow consumers", "server"),
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


def test_a_full_core_explains_the_loop_lag(analyse: Analyse) -> None:
    """Loop lag beside a full core is its symptom, not a second cause."""
    found = diagnosis.diagnose(analyse(Case(server_cores=0.97, server_lag_s=0.25)))
    assert [finding.cause for finding in found] == ["the server's core"]


def test_a_server_without_metrics_is_not_called_healthy(analyse: Analyse) -> None:
    """What cannot be seen is said to be unseen."""
    foreign = analyse(Case(foreign=True))
    assert [usage.side for usage in diagnosis.usages(foreign)] == ["generator"]
    assert "the server shows no metrics" in titles.headline(foreign)
