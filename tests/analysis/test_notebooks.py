"""Each notebook is really executed on what real servers left: `recorded/README.md` says what was done to them.

`prometheus.ipynb` is executed in `tests/e2e/test_stack.py`, on a Prometheus that scrapes at that moment.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from scalechat.analysis.execution import execute
from scalechat.analysis.report import write_comparison, write_report
from scalechat.config import UsageError

from .recorded import HERE

ROOT = Path(__file__).resolve().parents[2]
COMPARISON, SEARCH, EXPERIMENTS = HERE / "comparison", HERE / "searches" / "per-client", HERE / "experiments"


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def needs_nothing(page: str) -> bool:
    """No script, no link, no import, no remote address."""
    return not re.search(r"<script|<link|@import|(?:src|href)=\"(?!#|data:)", page)


def test_a_run_becomes_a_report(tmp_path: Path) -> None:
    """Ten pictures; what the load client counted and the diagnosis found is what stands there."""
    page = plain(write_report(COMPARISON / "base", tmp_path / "page.html").read_text())
    assert page.count("<figure>") == 10
    assert "300 clients got 22.5 k messages/s, 99 % of them within 10.9 ms; nothing was at its limit" in page
    assert "Who joins first hears first" in page
    assert re.findall(r'class="note">(No \w+)', page) == ["No error"], "a part is without its data"


def test_two_runs_become_a_comparison(tmp_path: Path) -> None:
    """Written beside the new one."""
    base, new = (Path(shutil.copytree(COMPARISON / name, tmp_path / name)) for name in ("base", "new"))
    path = write_comparison(base, new)
    page = plain(path.read_text())
    assert path == new / "comparison.html"
    assert page.count("<figure>") == 3
    assert "Worse: delivery p50" in page
    assert "99 % came within 10.9 ms on the old system, 143 ms on the new" in page
    with pytest.raises(UsageError, match="no run in"):
        write_comparison(base, tmp_path / "nothing")


def test_a_capacity_search_becomes_a_report(tmp_path: Path) -> None:
    """How many, at what latency, limited by what; one file that stands alone, beside the search."""
    path = write_report(Path(shutil.copytree(SEARCH, tmp_path / "search")))
    page = plain(path.read_text())
    assert path == tmp_path / "search" / "report.html"
    assert needs_nothing(page)
    assert page.count("<figure>") == 6
    assert "holds 300 clients at a p99 of 118 ms; 350 clients did not (p99 294 ms)" in page
    assert "limited by the server's core (92 % of a core" in page
    assert "Too few loads" not in page


def test_an_experiment_becomes_a_report(tmp_path: Path) -> None:
    """Verdict, picture, table and paragraph, from both of its runs."""
    page = plain(write_report(EXPERIMENTS / "silent-loss", tmp_path / "page.html").read_text())
    assert page.count("<figure>") == 1
    assert "Symptom and cure appeared." in page
    assert "Dropping the oldest lost 6,912 deliveries without an error" in page


def test_the_catalogue_becomes_a_story() -> None:
    """Each experiment that was played, in the chapter that it belongs to."""
    notebook = nbformat.read(ROOT / "notebooks" / "scale-problems.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    notebook.cells[1].source = f"directory = {str(EXPERIMENTS)!r}"
    execute(notebook)
    shown = str([cell.get("outputs") for cell in notebook.cells])
    numbers = [int(number) for number in re.findall(r"Problem (\d+) of the catalogue", shown)]
    assert sorted(numbers) == [3, 9]
    assert shown.count("<figure>") == 2
