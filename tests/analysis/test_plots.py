"""Every picture of every kind of run is drawn, is well-formed, and says what it shows."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scalechat.analysis import plots, tables
from scalechat.analysis.frames import RunFrames, load_run
from scalechat.analysis.style import Html
from scalechat.load.results import RunWriter

from .conftest import Analyse
from .synthetic import Case, write_run

PICTURES = [getattr(plots, name) for name in plots.__all__]
TABLES = [getattr(tables, name) for name in tables.__all__]
CASES = [
    Case(),
    Case(foreign=True, objective_ms=None),
    Case(finished=False),
    Case(clients=1, rooms=1),
    Case(server_cores=0.97, evicted=3, missing=7, latency_ms=150),
    Case(invalid="generator CPU 92 %"),
]


def words(piece: Html) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", " ", piece.html))
    return re.sub(r"\s+", " ", text)


def title(piece: Html) -> str:
    found = re.search(r"<strong>(.*?)</strong>", piece.html)
    assert found is not None, piece.html[:200]
    return html.unescape(found[1]).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("make", PICTURES + TABLES, ids=lambda make: make.__name__)
def test_every_part_of_every_run_is_well_formed(
    analyse: Analyse, make: Callable[[RunFrames], Html], case: Case
) -> None:
    """Whatever the run lacks, a part is a picture, a table or one line, and valid XML."""
    piece = make(analyse(case))
    ElementTree.fromstring(f"<part>{piece.html}</part>")
    assert "nan" not in words(piece).lower().split()


@pytest.mark.parametrize("make", PICTURES + TABLES, ids=lambda make: make.__name__)
def test_a_run_killed_before_its_first_second_breaks_nothing(tmp_path: Path, make: Callable[[RunFrames], Html]) -> None:
    """Without a single row each part is still there, and each picture is one line."""
    with RunWriter.create(tmp_path) as writer:
        pass
    piece = make(load_run(writer.run_dir))
    if make in PICTURES:
        assert piece.html.count('<p class="note">') == 1


def test_titles_state_findings(healthy: RunFrames) -> None:
    """The titles carry the figures that were put into the run."""
    assert title(plots.headline(healthy)).startswith("200 clients got 10.0 k messages/s, 99 % of them within ")
    assert title(plots.throughput(healthy)) == (
        "All of the 200 messages/s on offer were published and made 10.0 k deliveries/s"
    )
    assert title(plots.connections(healthy)).startswith("All 200 clients connected")
    assert title(plots.server(healthy)).startswith("The server had 38 % of a core, 60.8 MB of memory")
    assert title(plots.generator(healthy)).startswith("The generator was fit to measure: 21 % of a core")


def test_text_in_pictures_stays_text_and_nothing_is_fetched(healthy: RunFrames) -> None:
    """Axis labels are text elements; no picture refers to anything outside itself."""
    for make in PICTURES:
        svg = make(healthy).html
        assert "<text" in svg
        assert not re.findall(r'(?:href|src)="(?!#)[^"]*"', svg)


def test_the_same_run_gives_the_same_pictures(healthy: RunFrames) -> None:
    """No date and no random id: two reports of one run can be compared."""
    assert plots.headline(healthy) == plots.headline(healthy)


def test_the_ledger_shows_every_account_and_what_is_not_known(analyse: Analyse) -> None:
    """Missing deliveries stand out, and what a foreign server cannot say is not a zero."""
    lossy = tables.ledger(analyse(Case(missing=7))).html
    assert re.search(r'<tr class="bad"><th>missing</th><td class="number">7</td>', lossy)
    foreign = words(tables.ledger(analyse(Case(foreign=True))))
    assert "acked not known" in foreign
    assert "duplicated 0" in foreign


def test_the_verdict_gives_its_reasons(analyse: Analyse) -> None:
    """A missed objective and a doubtful measurement are named, an unfinished or interrupted run is called so."""
    assert "objective missed: p99(delivery) < 200ms (it was 427.5 ms)" in words(
        tables.verdict(analyse(Case(latency_ms=150)))
    )
    assert "generator CPU 92 %" in words(tables.verdict(analyse(Case(invalid="generator CPU 92 %"))))
    assert "3 of 200 clients never connected: HTTP 503" in words(tables.verdict(analyse(Case(turned_away=3))))
    assert "never connected" not in words(tables.verdict(analyse(Case(away=5))))
    assert "unfinished" in words(tables.verdict(analyse(Case(finished=False))))
    assert "interrupted Somebody ended the run" in words(tables.verdict(analyse(Case(interrupted=True))))


def test_foreign_text_stays_text(tmp_path: Path) -> None:
    """Markup in an error of a foreign server is shown, not obeyed."""
    frames = load_run(write_run(tmp_path, Case(evicted=3)))
    frames.errors["example"] = "<script>alert(1)</script>"
    assert "<script>" not in tables.errors(frames).html
    assert "&lt;script&gt;" in tables.errors(frames).html


def test_configuration_shows_choices_before_defaults(healthy: RunFrames) -> None:
    """What somebody set comes first, with where; defaults follow."""
    text = words(tables.configuration(healthy))
    assert text.index("environment SCALECHAT_ROOMS") < text.index("default")
