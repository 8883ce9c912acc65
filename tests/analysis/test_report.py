"""The report: one file that stands alone, made by really executing the notebook."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import trio
from hatchling.builders.wheel import WheelBuilder

from scalechat.analysis import report
from scalechat.analysis.report import write_report
from scalechat.config import OperationalError
from scalechat.load.results import RunWriter
from tests.conftest import clean_environ, eventually

from .synthetic import Case, write_run

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ("analysis", "capacity", "compare", "experiment", "prometheus", "scale-problems")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Path]]:
    """What a report of a healthy run leaves in the run's directory, in the home directory and in the temporary one."""
    places = {name: tmp_path_factory.mktemp(name) for name in ("run", "home", "temporary")}
    places["run"] = write_run(places["run"], Case())
    before = set(places["run"].iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(places["home"]))
        patch.setattr(tempfile, "tempdir", str(places["temporary"]))
        assert write_report(places["run"]) == places["run"] / "report.html"
    return {name: set(place.iterdir()) - before for name, place in places.items()}


def test_nothing_is_left_but_the_report(left: dict[str, set[Path]]) -> None:
    """No file in the home directory, none in the temporary one, none beside the report."""
    assert [path.name for path in left["run"]] == ["report.html"]
    assert left["home"] == left["temporary"] == set()


def test_the_report_is_one_file_that_needs_nothing(left: dict[str, set[Path]]) -> None:
    """No script, no link, no import, no remote address: it opens anywhere, for ever."""
    (path,) = left["run"]
    page = path.read_text()
    assert not re.search(r"<script|<link|@import|url\((?!#)", page)
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
    assert page.count("<figure>") == 10
    assert page.count("<h2") == 11
    assert len(page) < 2_000_000
    assert "200 clients got" in page
    # Code belongs to the notebook, not to the report.
    assert "load_run" not in page


async def test_a_report_can_be_written_beside_an_event_loop(tmp_path: Path) -> None:
    """From a worker thread of a Trio program (the demo) it works, here with an unfinished run."""
    run_dir = write_run(tmp_path, Case(finished=False, foreign=True))
    page = await trio.to_thread.run_sync(write_report, run_dir, tmp_path / "there" / "page.html")
    text = page.read_text()
    assert page == tmp_path / "there" / "page.html"
    assert "The run was not written to its end" in text
    assert "No server metrics" in text


def test_a_run_without_a_single_row_has_a_report(tmp_path: Path) -> None:
    """Killed before its first second: every section says in one line that it has nothing."""
    with RunWriter.create(tmp_path) as writer:
        pass
    text = write_report(writer.run_dir).read_text()
    assert "<figure>" not in text
    assert text.count('class="note"') > 10


def test_what_the_user_can_cause_is_said_in_one_line(
    healthy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run, a broken table, a path that cannot be written, a missing extra: one line each."""
    with pytest.raises(OperationalError, match="no run in"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(OperationalError, match="cannot write the report to"):
        write_report(healthy_run, healthy_run / "run.json" / "report.html")
    table = healthy_run / "timeseries.csv"
    table.write_text(table.read_text().replace("steady,200", "steady,many", 1))
    with pytest.raises(OperationalError, match=r"^cannot read .*timeseries\.csv: [^\n]*$"):
        write_report(healthy_run)
    monkeypatch.setattr(report, "_NEEDED", ("pandas", "scalechat_never_installed"))
    with pytest.raises(OperationalError, match=r"pip install 'scalechat\[analysis\]'"):
        write_report(healthy_run)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_outputs(name: str) -> None:
    """No output, no execution count, and one cell that takes the parameters."""
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    # Thin: what it does is in scalechat.analysis, where it is typed and tested.
    assert sum(len(cell["source"]) for cell in code) < 30


def test_an_installed_package_has_all_that_the_report_needs() -> None:
    """The wheel carries the notebooks to where the report looks first, the template and the schemas."""
    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {
        *(f"scalechat/analysis/notebooks/{name}.ipynb" for name in NOTEBOOKS),
        "scalechat/analysis/template/report/index.html.j2",
        "scalechat/analysis/template/report/style.css",
        "scalechat/load/schemas/run.schema.json",
    } <= packed


def test_ctrl_c_ends_the_kernel_and_writes_nothing(healthy_run: Path) -> None:
    """Interrupted while the notebook runs: no traceback, no process and no half report left."""
    report_of = subprocess.Popen(
        [sys.executable, "-m", "scalechat", "report", str(healthy_run)],
        env=clean_environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    kernels: list[psutil.Process] = []

    def started() -> bool:
        kernels[:] = psutil.Process(report_of.pid).children()
        return bool(kernels)

    eventually(started, "a kernel", 60.0)
    report_of.send_signal(signal.SIGINT)
    _, complaint = report_of.communicate(timeout=60.0)
    assert report_of.returncode == 130
    assert "Traceback" not in complaint
    assert not any(kernel.is_running() for kernel in kernels)
    assert not list(healthy_run.glob("*report*"))
