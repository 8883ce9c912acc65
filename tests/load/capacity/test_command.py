"""``python -m scalechat capacity`` as a person or a CI job runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scalechat.cli import main
from tests.conftest import ServeProcess, clean_environ

END_S = 60.0


def capacity(out: Path, *args: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "scalechat", "capacity", "--out", str(out), *args]
    return subprocess.run(line, env=clean_environ(), capture_output=True, text=True, timeout=END_S, check=False)


def test_a_real_server_is_searched_up_to_the_ceiling(serve_process: ServeProcess, tmp_path: Path) -> None:
    """Two probes and a confirmation: lines for each on stderr, the answer as JSON on stdout."""
    server = serve_process("--message-rate", "0")
    load = ("--clients", "20", "--max", "40", "--msg-frequency", "200", "--warmup", "0.2", "--duration", "1")
    # An objective that a busy machine cannot miss, so that the answer is known.
    done = capacity(tmp_path, "--server-url", server.ws_url, *load, "--slo", "missing == 0", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["answer"]) in {(0, "at least 40 clients: that is --max"), (97, answer["answer"])}
    assert "probe 1: trying 20 clients (first probe)" in done.stderr
    assert (Path(answer["search_dir"]) / "search.csv").is_file()


def test_what_cannot_be_searched_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nothing is connected or written for it."""
    for args, words in (
        (("--clients", "50", "--max", "20"), "above --max 20"),
        (("--slo", "fast"), "--slo 'fast' cannot be read"),
        (("--confirm", "4"), "--confirm 4 is more than --confirm-of 3"),
        (("--vary", "rate", "--publishers", "0"), "needs somebody who publishes"),
        (("--rendezvous", "redis://127.0.0.1", "--expected-instances", "2"), "leave --rendezvous out"),
    ):
        assert main(["capacity", "--out", str(tmp_path / "runs"), *args], {}) == 2
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1
        assert words in complaint
    assert not (tmp_path / "runs").exists()
