"""Exactness over real sockets: one load process and three see the same truth of a faulty server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scalechat.load.results import ConnectionRow, Manifest, read_run
from tests.conftest import clean_environ
from tests.load.lies import Lies, described

SHAPE = ("--clients=12", "--rooms=2", "--msg-frequency=100", "--warmup=0.5", "--drain-timeout=3")


COMING_AND_GOING = """
[[kinds]]
kind = "churning"
count = 6
every_s = 1000
resume = false

[[events]]
kind = "pause"
at_s = 1.0
for_s = 1.2

[[events]]
kind = "reconnect_storm"
at_s = 1.5
share = 1.0
within_s = 0.3
"""
"""Half of the clients come back as other members, while nothing is on its way: so both sides know who was there."""
A_PAUSE = """
[[events]]
kind = "pause"
at_s = 1.0
for_s = 2.0
"""


@pytest.mark.parametrize("processes", [1, 3])
def test_the_ledger_of_so_many_processes_is_what_the_server_did(processes: int, tmp_path: Path) -> None:
    """Members of a room sit in different processes, and each figure is still the server's."""
    lies = Lies(drop=0.02, duplicate=0.03, reorder=0.03, corrupt=0.02, tear=0.02, reject=0.02, mute=0.02, seed=7)
    manifest = ledger_and_truth_agree(lies, processes, tmp_path, "--duration=2")
    assert len(manifest.workers) == processes


def test_the_ledger_of_three_processes_is_what_the_server_did_to_those_who_come_and_go(tmp_path: Path) -> None:
    """All connections are lost at once; one half resumes, the other half joins anew."""
    scenario = tmp_path / "coming-and-going.toml"
    scenario.write_text(COMING_AND_GOING)
    lies = Lies(drop=0.1, duplicate=0.03, reject=0.03, renege=0.03, mute=0.02, seed=7)
    ledger_and_truth_agree(lies, 3, tmp_path, "--duration=3", f"--scenario={scenario}")
    (run_dir,) = (tmp_path / "runs").iterdir()
    connections = list(read_run(run_dir).rows(ConnectionRow))
    assert sum(row.reconnect_of is not None and row.opened_s is not None for row in connections) == 12


def test_the_ledger_of_three_processes_is_what_the_server_did_to_those_whom_it_cut_off(tmp_path: Path) -> None:
    """What others had sent by then and never came is missing, whichever process sent it; what they send later is not.

    They are cut off while nothing is under way. With a message on its way at that moment server and client need not
    agree on which came first, and both are right: that is what `tests/load/fleet` has its one clock for.
    """
    scenario = tmp_path / "a-pause.toml"
    scenario.write_text(A_PAUSE)
    lies = Lies(drop=0.3, duplicate=0.03, mute=0.02, in_silence=3, seed=7)
    more = ("--duration=3.5", "--no-reconnect", f"--scenario={scenario}")
    ledger_and_truth_agree(lies, 3, tmp_path, *more, verdict=99)
    (run_dir,) = (tmp_path / "runs").iterdir()
    closed_by = Counter(row.closed_by for row in read_run(run_dir).rows(ConnectionRow))
    assert closed_by["network"] >= 1
    assert closed_by["server"] >= 1


def ledger_and_truth_agree(lies: Lies, processes: int, tmp_path: Path, *more: str, verdict: int = 0) -> Manifest:
    truth = tmp_path / "truth.json"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.load.faulty_process", "v1", described(lies), str(truth)],
        env=clean_environ(),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        args = [f"--server-url=ws://127.0.0.1:{port}/ws", f"--processes={processes}", f"--out={tmp_path / 'runs'}"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "scalechat", "load", "--quiet", *args, *SHAPE, *more],
                env=clean_environ(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            server.send_signal(signal.SIGTERM)
        server.wait(20)
    assert done.returncode in (verdict, 97), done.stdout + done.stderr  # 97: this machine was too busy to measure times
    (run_dir,) = (tmp_path / "runs").iterdir()
    manifest = read_run(run_dir).manifest
    assert manifest is not None
    expected: dict[str, int] = json.loads(truth.read_text())
    assert expected["published"] > 100
    assert {name: getattr(manifest.ledger, name) for name in expected} == expected
    return manifest
