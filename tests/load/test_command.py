"""``python -m scalechat load`` as a person or a CI job runs it: real processes, real sockets, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scalechat.cli import main
from scalechat.load.command import interruptible
from scalechat.load.results import (
    BroadcastRow,
    ConnectionRow,
    ErrorRow,
    HealthRow,
    Run,
    ServerRow,
    TimeseriesRow,
    read_run,
)
from tests.conftest import ServeProcess, ServerProcess, clean_environ, eventually

END_S = 60.0
FIT_OR_BUSY = (0, 97)
FAILED_OR_BUSY = (99, 97)
"""97 says that this machine was too busy to measure times; what is counted is as exact as ever."""
SHAPE = ("--clients", "30", "--rooms", "3", "--msg-frequency", "100", "--warmup", "0.5")
SHORT = (*SHAPE, "--duration", "2")
LONG = (*SHAPE, "--duration", "60", "--drain-timeout", "1")


def command(out: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "scalechat", "load", "--out", str(out), *args]


def load(out: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(out, *args), env=clean_environ(), capture_output=True, text=True, timeout=END_S, check=False
    )


def only_run(out: Path) -> Run:
    (run_dir,) = out.iterdir()
    return read_run(run_dir)


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """The exit code and the one line of a run that does not begin; in this process, for that takes no other."""
    code = main(["load", *args], {})
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    return code, complaint


@pytest.fixture(scope="module")
def server(shared_serve_process: ServeProcess) -> ServerProcess:
    """One for all who leave it as they found it: two runs never meet in a room."""
    return shared_serve_process()


@pytest.mark.parametrize("target", ["scalechat", "plain"])
def test_a_real_server_delivers_everything_once_and_in_order(
    target: str, server: ServerProcess, tmp_path: Path
) -> None:
    """Both dialects, every delivery accounted for, every table written."""
    slos = ("--slo", "missing == 0", "--slo", "duplicated == 0", "--slo", "reordered == 0", "--slo", "errors == 0")
    done = load(tmp_path, "--server-url", server.ws_url, "--target", target, *slos, *SHORT)
    assert done.returncode in FIT_OR_BUSY, done.stdout + done.stderr
    assert done.stdout.startswith("verdict ")
    run = only_run(tmp_path)
    assert run.manifest is not None
    ledger = run.manifest.ledger
    assert ledger.published > 600
    assert ledger.delivered == ledger.expected == 10 * ledger.published
    assert (ledger.missing, ledger.duplicated, ledger.reordered) == (0, 0, 0)
    assert (ledger.corrupted, ledger.phantom) == (0, 0)
    assert ledger.acked == (ledger.published if target == "scalechat" else None)
    assert len(list(run.rows(BroadcastRow))) == ledger.published
    connections = list(run.rows(ConnectionRow))
    assert {row.closed_by for row in connections} == {"client"}
    assert all(row.delivery_p50_ns and row.tcp_ns and row.handshake_ns and row.opened_s for row in connections)
    assert any(row.metric == "scalechat_deliveries_total" for row in run.rows(ServerRow))
    # A window that a phase's end has cut short may lie between two probes of the loop, which come every 10 ms.
    assert all(row.rss_bytes and (row.loop_lag_p99_ns is not None or row.dt_s < 0.1) for row in run.rows(HealthRow))
    assert done.returncode == 97 or not list(run.rows(ErrorRow))
    assert run.manifest.target.version is not None
    assert list(run.rows(TimeseriesRow))[-1].rx_bytes_total > 100 * ledger.delivered


def test_the_summary_is_for_programs_too(server: ServerProcess, tmp_path: Path) -> None:
    """``--json`` puts one document on stdout and ``--quiet`` nothing on stderr."""
    done = load(tmp_path, "--server-url", server.ws_url, "--json", "--quiet", *SHORT)
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert document["exit_code"] == done.returncode
    assert (document["verdict"], done.returncode) in (("pass", 0), ("invalid", 97))
    assert Path(document["run_dir"]).is_dir()
    assert document["figures"]["clients"] == {"value": 30, "unit": "clients", "interval": None}


def test_a_missed_objective_is_99(server: ServerProcess, tmp_path: Path) -> None:
    """Nothing is delivered within a ns."""
    done = load(tmp_path, "--server-url", server.ws_url, "--slo", "min(delivery) < 1ns", *SHORT)
    # With so tight an objective any loop lag of our own would be too much: that is 97, and both are no pass.
    assert done.returncode in FAILED_OR_BUSY
    assert "✗ min(delivery) < 1ns" in done.stdout


def test_ctrl_c_writes_the_run(server: ServerProcess, tmp_path: Path) -> None:
    """Exit code 105, the summary is printed, nothing that was under way is missing, and no traceback."""
    args = command(tmp_path, "--server-url", server.ws_url, *LONG)
    with subprocess.Popen(
        args, env=clean_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(lambda: any(list(run.rows(BroadcastRow)) for run in map(read_run, tmp_path.iterdir())), "a message")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=END_S)
    assert process.returncode == 105, stderr
    assert stdout.splitlines()[0] == "verdict   interrupted"
    assert "Traceback" not in stderr
    run = only_run(tmp_path)
    assert run.manifest is not None
    assert run.manifest.interrupted
    assert run.manifest.ledger.missing == 0


async def test_ctrl_c_while_the_run_is_written_is_no_more_than_a_wish() -> None:
    """It comes when nobody has a turn to hear it, and the run has its verdict all the same."""
    async with interruptible() as interruption:
        signal.raise_signal(signal.SIGINT)
    assert interruption.asked.is_set()


def test_a_server_killed_in_the_middle_is_reported(serve_process: ServeProcess, tmp_path: Path) -> None:
    """The run ends early and says why, is written, and is no pass; no traceback."""
    server = serve_process()
    args = command(tmp_path, "--server-url", server.ws_url, "--connect-timeout", "1", *LONG)
    with subprocess.Popen(
        args, env=clean_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(lambda: any(list(run.rows(BroadcastRow)) for run in map(read_run, tmp_path.iterdir())), "a message")
        server.kill()
        stdout, stderr = process.communicate(timeout=END_S)
    assert process.returncode in FAILED_OR_BUSY, stdout + stderr
    assert "✗ the run reached its end (the server closed or lost every connection and nobody came back)" in stdout
    assert "Traceback" not in stderr
    run = only_run(tmp_path)
    assert run.finished
    assert "closed_1006" in {row.kind for row in run.rows(ErrorRow)}


def test_a_server_that_drains_is_followed_to_its_end(serve_process: ServeProcess, tmp_path: Path) -> None:
    """SIGTERM: its 4012 stands in each connection's row."""
    server = serve_process("--drain", "1")
    args = command(tmp_path, "--server-url", server.ws_url, *LONG)
    with subprocess.Popen(
        args, env=clean_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(lambda: any(list(run.rows(BroadcastRow)) for run in map(read_run, tmp_path.iterdir())), "a message")
        assert server.stop() == 0
        _, stderr = process.communicate(timeout=END_S)
    assert process.returncode in FAILED_OR_BUSY, stderr
    opened = [row for row in only_run(tmp_path).rows(ConnectionRow) if row.opened_s is not None]
    assert {row.close_code for row in opened} <= {4012, 1001}


@pytest.mark.parametrize(
    "args, code, words",
    [
        (("--server-url", "ws://127.0.0.1:1/ws"), 1, "cannot connect to ws://127.0.0.1:1/ws (connection refused)"),
        (("--server-url", "ws://nobody.invalid/ws"), 1, "cannot resolve 'nobody.invalid'"),
        (("--slo", "missing = 0"), 2, "--slo 'missing = 0' cannot be read"),
        (("--msg-size", "8"), 2, "--msg-size '8': 8 bytes are too few"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    args: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is written for it."""
    found, complaint = refused(capsys, "--out", str(tmp_path / "runs"), *args)
    assert found == code
    assert words in complaint
    assert not (tmp_path / "runs").exists()


def test_a_directory_that_cannot_be_written_is_one_line(
    server: ServerProcess, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file stands where the directory should be."""
    (tmp_path / "runs").write_text("")
    code, complaint = refused(capsys, "--out", str(tmp_path / "runs"), "--server-url", server.ws_url)
    assert code == 1
    assert "--out" in complaint


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_run_interrupted_in_its_ramp_is_interrupted_and_written(
    sign: signal.Signals, server: ServerProcess, tmp_path: Path
) -> None:
    """Nothing was measured, and that is not called invalid: whoever interrupts knows why."""
    slow = ("--server-url", server.ws_url, "--clients", "50", "--ramp", "1", "--slo", "p99(delivery) < 1s")
    with subprocess.Popen(
        command(tmp_path, *slow), env=clean_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(
            lambda: any(table.read_bytes().count(b"\n") > 1 for table in tmp_path.glob("*/timeseries.csv")), "a second"
        )
        process.send_signal(sign)
        stdout, stderr = process.communicate(timeout=END_S)
    assert process.returncode == 105, stderr
    assert stdout.splitlines()[0] == "verdict   interrupted"
    assert "cannot be trusted" not in stdout
    assert "Traceback" not in stderr
    run = only_run(tmp_path)
    assert run.manifest is not None
    written = [json.loads((run.path / name).read_bytes()) for name in ("run.json", "summary.json")]
    assert [(each["verdict"], each["interrupted"], each["exit_code"]) for each in written] == 2 * [
        ("interrupted", True, 105)
    ]
    assert 1 <= len([row for row in run.rows(ConnectionRow) if row.opened_s is not None]) < 50


def test_a_full_disk_is_one_line_and_what_was_written_stays(server: ServerProcess, tmp_path: Path) -> None:
    """A limit on the size of files is met like a full disk: in the middle of a run."""
    limited = ["prlimit", "--fsize=200000", *command(tmp_path, "--server-url", server.ws_url, "--quiet", *LONG)]
    done = subprocess.run(limited, env=clean_environ(), capture_output=True, text=True, timeout=END_S, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    run = only_run(tmp_path)
    assert f"cannot write the run to {run.path}: File too large; choose a writable directory" in done.stderr
    assert not run.finished
    assert len(list(run.rows(BroadcastRow))) > 20, "whole rows as far as there was room"


def test_tls_where_there_is_none_is_one_line(
    server: ServerProcess, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It says which of the two addresses to try."""
    url = server.ws_url.replace("ws://", "wss://")
    code, complaint = refused(capsys, "--out", str(tmp_path / "runs"), "--server-url", url)
    assert code == 1
    assert "no TLS (" in complaint
    assert "check ws:// or wss:// in --server-url" in complaint
    assert not (tmp_path / "runs").exists()
