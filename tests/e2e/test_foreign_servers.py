"""Servers of others under our load, as docs/how-to/load-your-own-server.md has it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scalechat.load.results import read_run
from tests.conftest import clean_environ, eventually

TARGETS = Path(__file__).parents[2] / "configs/targets"
SHAPE = ("--clients=40", "--rooms=4", "--msg-frequency=100", "--warmup=0.5", "--duration=2", "--json", "--quiet")


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def nats_port(require_binary: Callable[[str, str], str], tmp_path: Path) -> Iterator[int]:
    """A real nats-server; the port of its WebSocket."""
    binary = require_binary("nats-server", "apt install nats-server")
    port, websocket = free_ports(2)
    config = tmp_path / "nats.conf"
    config.write_text(
        f"host: 127.0.0.1\nport: {port}\nwebsocket {{ host: 127.0.0.1, port: {websocket}, no_tls: true }}\n"
    )
    with subprocess.Popen([binary, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: listens(websocket), "a port of nats-server")
            yield websocket
        finally:
            server.kill()


def test_nats_delivers_everything_once_and_in_order(nats_port: int, tmp_path: Path) -> None:
    """Its text protocol in binary frames, described by a table: every message to every member, nothing unknown."""
    args = [f"--scenario={TARGETS / 'nats.toml'}", f"--server-url=ws://127.0.0.1:{nats_port}", *SHAPE]
    args.append(f"--out={tmp_path / 'runs'}")
    done = subprocess.run(
        [sys.executable, "-m", "scalechat", "load", *args],
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 97), done.stdout + done.stderr  # 97: this machine was too busy to measure times
    (run_dir,) = (tmp_path / "runs").iterdir()
    manifest = read_run(run_dir).manifest
    assert manifest is not None
    ledger = manifest.ledger
    assert ledger.published > 600
    assert ledger.delivered == ledger.expected == 10 * ledger.published
    assert (ledger.missing, ledger.duplicated, ledger.reordered, ledger.corrupted, ledger.phantom) == (0,) * 5
    assert ledger.unknown_frames == 0
    assert ledger.acked is None
    assert manifest.target.dialect == "template"
