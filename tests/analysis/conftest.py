"""Runs to analyse, each written once for all tests of this directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scalechat.analysis.frames import RunFrames, load_run

from .synthetic import Case, write_run

Analyse = Callable[[Case], RunFrames]


@pytest.fixture(scope="session")
def analyse(tmp_path_factory: pytest.TempPathFactory) -> Analyse:
    """The frames of the run of a case."""
    known: dict[Case, RunFrames] = {}

    def frames(case: Case) -> RunFrames:
        if case not in known:
            known[case] = load_run(write_run(tmp_path_factory.mktemp("runs"), case))
        return known[case]

    return frames


@pytest.fixture
def healthy(analyse: Analyse) -> RunFrames:
    """A run in which nothing was at its limit."""
    return analyse(Case())


@pytest.fixture
def healthy_run(tmp_path: Path) -> Path:
    """The directory of such a run, for tests that change it."""
    return write_run(tmp_path, Case())
