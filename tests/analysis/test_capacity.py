"""The analysis of a capacity search: the finding above the picture, the knee, and the models beside it."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scalechat.analysis import capacity, capacity_models
from scalechat.analysis.search import knee, load_search
from scalechat.config import OperationalError

from .searches import SearchCase, write_search
from .synthetic import Case, write_run


def title(picture: str) -> str:
    found = re.search(r"<strong>(.*?)</strong>", picture)
    assert found is not None
    return found[1].replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    "case, words",
    [
        (
            SearchCase(),
            "holds 6,000 clients at a p99 of 88.0 ms; 7,000 clients did not (p99 430 ms); limited by the server",
        ),
        (SearchCase(foreign=True), "cannot be seen from here"),
        (
            SearchCase(server_cores=0.6),
            "no limit that can be seen was reached (nearest: server&#x27;s core, 60 % of a core)",
        ),
        (SearchCase(kind="generator"), "at least 6,000 clients at a p99 of 88.0 ms; 7,000 clients could not be"),
        (SearchCase(kind="ceiling"), "The server holds at least 6,000 clients at a p99 of 88.0 ms"),
        (SearchCase(kind="none"), "Not even 7,000 clients held"),
        (SearchCase(finished=False, probes=3), "An unfinished search of 3 probes"),
    ],
)
def test_the_first_picture_says_how_many_at_what_latency_limited_by_what(
    case: SearchCase, words: str, tmp_path: Path
) -> None:
    """In its title; the points, the bracket, the objective and the knee are in the picture."""
    picture = capacity.headline(load_search(write_search(tmp_path, case))).html
    assert words in title(picture)
    assert ("200 ms" in picture.replace("\N{NO-BREAK SPACE}", " ")) == case.finished


def test_a_machine_that_was_not_the_same_all_along_stands_beside_the_answer(tmp_path: Path) -> None:
    """Whoever searches again may find something else, and not because of the server."""
    caution = "the machine's own speed changed: the same work took 5.0 to 7.0 ms"
    search = load_search(write_search(tmp_path, SearchCase(caution=caution)))
    assert html.escape(caution) in capacity.verdict(search).html


def test_the_knee_is_where_latency_leaves_its_even_course() -> None:
    """And a curve without a bend, or of three points, has none."""
    load = pd.Series(np.array([100.0, 200, 400, 800, 1600, 3200, 4000]))
    assert knee(load, pd.Series([4.0, 4.1, 4.2, 4.6, 6.0, 90.0, 900.0])) == pytest.approx(1600)
    assert knee(load, load / 10) is None
    assert knee(load[:3], load[:3]) is None
    assert knee(load, pd.Series([4.0] * 7)) is None


def test_a_search_without_a_finished_probe_is_analysed_as_well(tmp_path: Path) -> None:
    """Every part says in one line that there is nothing."""
    search = load_search(write_search(tmp_path, SearchCase(finished=False, probes=0)))
    for part in (capacity.headline, capacity.course, capacity.resources, capacity.probes, capacity.limits):
        assert part(search).html.startswith('<p class="note">')
    assert "not written to its end" in capacity.verdict(search).html


def test_models_are_doubted_in_words_and_left_out_where_nothing_is_known(tmp_path: Path) -> None:
    """A server that kept up determines no coherency; a target that hides its CPU has neither queues nor costs."""
    search = load_search(write_search(tmp_path / "own"))
    assert title(capacity_models.law(search).html).endswith("the data does not determine κ")
    assert "zero is within its interval" in capacity_models.law_table(search).html
    assert "batches are off by" in title(capacity_models.queues(search).html)
    foreign = load_search(write_search(tmp_path / "foreign", SearchCase(foreign=True)))
    few = load_search(write_search(tmp_path / "few", SearchCase(probes=2)))
    for piece in (capacity_models.queues(foreign), capacity_models.costs(foreign), capacity_models.law(few)):
        assert piece.html.startswith('<p class="note">')


def test_a_run_is_no_search(tmp_path: Path) -> None:
    """One line that says so."""
    with pytest.raises(OperationalError, match="no capacity search"):
        load_search(write_run(tmp_path, Case()))
