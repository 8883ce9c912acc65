"""The command itself: plans what belongs together, and runs for real once, briefly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import meter, results
from benchmarks.compare import main
from benchmarks.machine import ROOT
from benchmarks.scenarios import BY_NAME, SCENARIOS, chosen
from benchmarks.servers import SERVERS
from benchmarks.sitting import jobs


def test_rounds_are_interleaved() -> None:
    """A round visits every scenario; within one, servers take turns, each round beginning with another."""
    names = [s.name for s in SERVERS if not s.context]
    planned = [(job.round, job.server.name) for job in jobs([BY_NAME["fan-out"]], SERVERS, 2) if not job.server.context]
    assert planned == [*((1, name) for name in names), *((2, name) for name in names[1:] + names[:1])]


def test_every_bar_gets_every_round() -> None:
    """Servers no bar compares with, and scenarios that are one figure anyhow, run once."""
    planned = list(jobs(SCENARIOS, SERVERS, 3))
    assert sum(job.scenario.name == "latency" and job.server.name == "gorilla" for job in planned) == 3
    assert sum(job.scenario.name == "latency" and job.server.name == "nats" for job in planned) == 1
    assert sum(job.scenario.name == "idle" and job.server.name == "gorilla" for job in planned) == 1
    assert {job.server.name for job in planned if job.scenario.ours_only} == {"scalechat"}


def test_a_scenario_fits_the_file_limit_or_says_why_not() -> None:
    """A few clients fewer mean the same, half of them do not."""
    idle = BY_NAME["idle"]
    fitted = idle.fitted(20_000)
    assert not isinstance(fitted, str)
    assert 19_000 <= fitted.clients < 20_000
    assert f"{fitted.clients:,}" in fitted.title
    assert idle.fitted(30_000) is idle
    assert "10,000" in str(idle.fitted(10_000))


def test_families_of_scenarios_have_one_name() -> None:
    """``--scenario growth`` is all of its sizes."""
    assert [s.name for s in chosen(["stalled", "growth-1000"])] == ["stalled-none", "stalled-one", "growth-1000"]
    with pytest.raises(LookupError):
        chosen(["nothing"])


@pytest.mark.parametrize(
    "flags", [["--only", "nobody"], ["--scenario", "nothing"], ["--render", "/nowhere.json"], ["--docs", "--quick"]]
)
def test_unknown_names_are_bad_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line, before anything is measured."""
    assert main(flags) == 2
    assert capsys.readouterr().err.startswith("compare: ")


def test_a_quick_run_measures_a_real_server(tmp_path: Path) -> None:
    """One command: server and meter start, the record and its tables are written, everything arrived."""
    if meter.compiler() is None and not os.environ.get("CI"):
        pytest.skip(f"needs {meter.NEEDS}")
    flags = ["--quick", "--rounds", "1", "--only", "scalechat", "--scenario", "fan-out", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks.compare", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    summary = results.read(tmp_path / "partial.json").of("fan-out", "scalechat")
    assert summary is not None
    assert summary.value > 0
    assert summary.lost == summary.undelivered == summary.unopened == 0
    assert (tmp_path / "partial.md").read_text() == done.stdout.removesuffix("\n")
