"""A real server, a real load run, its tables checked against its ledger, and the report of it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from scalechat.config import OperationalError
from scalechat.load.results import (
    TABLES,
    BroadcastRow,
    ConnectionRow,
    HistogramRow,
    Run,
    ServerRow,
    TimeseriesRow,
    read_run,
)
from scalechat.load.results.schema import SCHEMA_DIR
from tests.conftest import ServeProcess, clean_environ, eventually

LOAD = [sys.executable, "-m", "scalechat", "load", "--clients", "24", "--rooms", "3", "--msg-frequency", "100"]
FINISHED_S = 120.0


def the_run(out: Path) -> Run:
    (run_dir,) = out.iterdir()
    return read_run(run_dir)


@pytest.fixture
def finished(serve_process: ServeProcess, tmp_path: Path) -> Run:
    """The run of two measured seconds against a server of its own."""
    server = serve_process()
    arguments = ["--server-url", server.ws_url, "--duration", "2", "--warmup", "0.5", "--out", str(tmp_path)]
    done = subprocess.run(
        [*LOAD, *arguments, "--slo", "missing == 0"],
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=FINISHED_S,
        check=False,
    )
    run = the_run(tmp_path)
    # A busy machine may make the generator late (97); the run and its report are whole all the same.
    assert done.returncode in {0, 97}, done.stderr
    assert run.summary is not None
    assert run.summary.exit_code == done.returncode
    return run


def report_of(run: Run) -> str:
    """The page that `report` makes of it."""
    done = subprocess.run(
        [sys.executable, "-m", "scalechat", "report", str(run.path)],
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=FINISHED_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (run.path / "report.html").read_text()


def test_a_run_holds_together_and_becomes_a_report(finished: Run) -> None:
    """Manifest, tables and ledger of a real run agree, and `report` turns it into a page."""
    manifest_is_true(finished)
    tables_agree_with_the_ledger(finished)
    page = report_of(finished)
    assert page.count("<figure>") == 10
    assert "24 clients got" in page


def manifest_is_true(run: Run) -> None:
    """Sizes, row counts and hashes are those of the files; documents satisfy their schemas."""
    assert run.manifest is not None
    for name, entry in run.manifest.files.items():
        content = (run.path / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry.sha256, name
    assert {table.filename for table in TABLES if table.always} | {"summary.json", "latency.hlog"} == set(
        run.manifest.files
    )
    for table in TABLES:
        if table.always:
            # Reading each row by its type is the check: a wrong cell is an error.
            assert len(list(run.rows(table.row))) == run.manifest.files[table.filename].rows
    for name in ("run", "summary"):
        schema = msgspec.json.decode((SCHEMA_DIR / f"{name}.schema.json").read_bytes())
        jsonschema.validate(msgspec.json.decode((run.path / f"{name}.json").read_bytes()), schema)


def tables_agree_with_the_ledger(run: Run) -> None:
    """The same messages and deliveries are counted in every table."""
    assert run.manifest is not None
    ledger = run.manifest.ledger
    assert ledger.published > 0
    assert ledger.expected == ledger.delivered == 8 * ledger.published
    assert ledger.missing == ledger.duplicated == ledger.reordered == ledger.corrupted == ledger.phantom == 0
    last = list(run.rows(TimeseriesRow))[-1]
    assert (last.published_total, last.delivered_total, last.acked_total) == (
        ledger.published,
        ledger.delivered,
        ledger.acked,
    )
    broadcasts = list(run.rows(BroadcastRow))
    assert len({row.msg_id for row in broadcasts}) == ledger.published
    assert sum(row.delivered for row in broadcasts) == ledger.delivered
    assert sum(row.count for row in run.rows(HistogramRow) if row.metric == "delivery") == ledger.delivered
    connections = list(run.rows(ConnectionRow))
    assert len(connections) == 24
    assert sum(row.received or 0 for row in connections) == ledger.delivered
    names = {row.metric for row in run.rows(ServerRow)}
    assert {"process_cpu_seconds_total", "scalechat_queue_bytes", "scalechat_loop_lag_seconds_bucket"} <= names


def test_a_killed_run_is_readable_and_has_a_report(serve_process: ServeProcess, tmp_path: Path) -> None:
    """SIGKILL in the middle: what was flushed is there, the run is called unfinished, the report works."""
    server = serve_process()
    load = subprocess.Popen(
        [*LOAD, "--server-url", server.ws_url, "--duration", "60", "--warmup", "0.5", "--out", str(tmp_path)],
        env=clean_environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: measured_rows(tmp_path) >= 2, "two seconds of the steady phase", 60.0)
    finally:
        load.kill()
        load.wait()
    run = the_run(tmp_path)
    assert not run.finished
    assert len(list(run.rows(TimeseriesRow))) >= 2
    page = report_of(run)
    assert "The run was not written to its end" in page
    assert "24 clients got" in page


def measured_rows(out: Path) -> int:
    """Rows of the steady phase that the run has flushed by now."""
    try:
        return sum(row.phase == "steady" for row in the_run(out).rows(TimeseriesRow))
    except (ValueError, OperationalError):  # not even its directory, or not yet its tables
        return 0
