"""The report, the page and the picture of an experiment say what its two runs showed."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.analysis.experiment import PlayedExperiment, load_experiment, rows_of
from scalechat.analysis.experiment_figures import change, finding, label, value
from scalechat.analysis.experiment_picture import panel_of
from scalechat.config import OperationalError, UsageError

from .played import play_with
from .synthetic import Case

SLOW, FAST = Case(latency_ms=90), Case()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> PlayedExperiment:
    return play_with(tmp_path_factory.mktemp("experiment"), SLOW, FAST)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_finding_has_the_runs_figures_in_it(played: PlayedExperiment) -> None:
    """Each with its unit; the words around them are the experiment's."""
    p99 = [played.outcome.figure(side, "delivery_p99") for side in ("before", "after")]
    assert finding(played.outcome) == f"p99 was {value('delivery_p99', p99[0])}, now {value('delivery_p99', p99[1])}"


def test_an_experiment_that_showed_nothing_never_says_that_it_did(tmp_path: Path) -> None:
    """Without the symptom the title is that it did not appear, in the report, the page and the picture."""
    nothing = play_with(tmp_path, FAST, FAST)
    assert finding(nothing.outcome).startswith("The symptom did not appear here")
    assert "not shown" in nothing.headline().html
    nothing.write_beside()
    for name in ("experiment.md", "picture.svg"):
        assert "did not appear" in " ".join((tmp_path / name).read_text().split())


def test_the_table_has_every_figure_that_either_run_has(played: PlayedExperiment) -> None:
    """In the experiment's order; one that nobody measured is left out."""
    names = [row[0] for row in rows_of(played.outcome)]
    assert names == ["delivery p99", "missing", "expected", "server's queue, most"]
    assert rows_of(played.outcome)[2][3] == "the same"


@pytest.mark.parametrize("piece", ["headline", "picture", "figures", "story", "environment"])
def test_every_piece_is_well_formed(played: PlayedExperiment, piece: str) -> None:
    """Whatever the words have in them."""
    ElementTree.fromstring(f"<part>{getattr(played, piece)().html}</part>")


@pytest.mark.parametrize(
    "draws",
    [
        [],
        ["distribution.delivery", "rate.delivered_total"],
        ["server.scalechat_queue_bytes", "server.process_cpu_seconds_total"],
        ["latency.delivery_slow", "server.no_such_metric"],
    ],
    ids=str,
)
def test_every_kind_of_panel_is_drawn(tmp_path: Path, draws: list[str]) -> None:
    """Also when the runs have nothing to draw in it; then it says so."""
    one = play_with(tmp_path, SLOW, Case(foreign=True), draws=draws)
    svg = one.picture().html
    ElementTree.fromstring(svg)
    assert ("not measured" in svg) == ("server.no_such_metric" in draws)


def test_an_unknown_panel_is_named() -> None:
    with pytest.raises(UsageError, match=r"'pie\.chart'"):
        panel_of("pie.chart")


def test_the_page_of_the_problem_gets_table_and_picture_and_keeps_its_words(
    played: PlayedExperiment, tmp_path: Path
) -> None:
    """Written twice it is the same; what stands around the marks is untouched."""
    page = tmp_path / "slow.md"
    page.write_text("# Slow\n\nWords.\n")
    assert played.write_into(tmp_path) == page
    once = page.read_text()
    assert once.startswith("# Slow\n\nWords.\n\n<!-- experiment -->\n![p99 was ")
    assert "| before: the old / way |" in once
    page.write_text(once + "\nMore.\n")
    played.write_into(tmp_path)
    assert page.read_text() == once + "\nMore.\n"
    ElementTree.parse(tmp_path / "images" / "slow.svg")


def test_a_problem_without_a_page_is_said_in_one_line(played: PlayedExperiment, tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match=r"cannot open .*slow\.md"):
        played.write_into(tmp_path)
    with pytest.raises(OperationalError, match="no experiment in"):
        load_experiment(tmp_path)


def test_what_an_experiment_says_of_itself_is_text_and_not_html(played: PlayedExperiment) -> None:
    """Hypothesis, title, paragraph and environment stand in the report as they were written."""
    text = "".join(piece().html for piece in (played.headline, played.story, played.environment))
    for words in (
        "slow &amp; late",
        "A &lt;slow&gt; thing",
        "<code>--fast</code>",
        "server under core 0",
        "docker compose",
    ):
        assert words in text


@pytest.mark.parametrize(
    "name, number, told, shown",
    [
        ("delivery_p99_9", 12.5, "delivery p99.9", "12.5 ms"),
        ("server.process_resident_memory_bytes.max", 2e8, "server's resident memory, most", "200 MB"),
        ("server.queue_age_seconds.max", 1.5, "server's queue age, most", "1.50 s"),
        ("generator.loop_lag_p99_ns.max", 2e6, "load client's loop lag p99, most", "2.00 ms"),
        ("delivered_per_s", 9000.0, "deliveries", "9.00 k deliveries/s"),
        ("missing", 1234.0, "missing", "1,234"),
        ("kernel.listen_overflows_total", 3.0, "kernel's listen overflows", "3"),
    ],
)
def test_a_figure_is_named_and_has_its_unit(name: str, number: float, told: str, shown: str) -> None:
    assert label(name) == told
    assert plain(value(name, number)) == shown


POSITIVE = st.floats(1e-3, 1e9)


@given(POSITIVE, POSITIVE)
def test_a_change_is_a_factor_of_at_least_one(before: float, after: float) -> None:
    """It reads the same in both directions, with less for more."""
    there, back = change(before, after), change(after, before)
    assert there.replace("less", "more") == back.replace("less", "more")
    assert there == "the same" or float(there.split()[0].replace(",", "")) >= 1.05 - 1e-9
    assert ("less" in there) == (after < before and there != "the same")


@pytest.mark.parametrize("before, after", [(None, 1.0), (1.0, None), (0.0, 3.0), (3.0, 0.0)])
def test_no_factor_is_made_of_nothing(before: float | None, after: float | None) -> None:
    assert change(before, after) == ""
