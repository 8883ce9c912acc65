"""Servers of others under our load, as docs/how-to/load-your-own-server.md has it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scalechat.load.results import Ledger, read_run
from tests.conftest import clean_environ, eventually
from tests.ports import unused_port

TARGETS = Path(__file__).parents[2] / "configs/targets"
SHAPE = ("--clients=40", "--rooms=4", "--msg-frequency=200", "--warmup=0.5", "--duration=2", "--json", "--quiet")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def nats_port(require_binary: Callable[[str, str], str], tmp_path: Path) -> Iterator[int]:
    """A real nats-server; the port of its WebSocket."""
    binary = require_binary("nats-server", "apt install nats-server")
    port, websocket = [unused_port() for _ in range(2)]
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


@pytest.fixture
def socketio_port() -> Iterator[int]:
    """A real Socket.IO server."""
    (port,) = [unused_port() for _ in range(1)]
    command = [sys.executable, "-m", "tests.e2e.socketio_rooms", str(port)]
    with subprocess.Popen(command, env=clean_environ(), stderr=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: listens(port), "the port of Socket.IO")
            yield port
        finally:
            server.kill()


def ledger_of(target: str, port: int, out: Path) -> Ledger:
    """What a short load run says, which must have gone through."""
    args = [f"--scenario={TARGETS / target}.toml", f"--server-url=ws://127.0.0.1:{port}", f"--out={out}", *SHAPE]
    done = subprocess.run(
        [sys.executable, "-m", "scalechat", "load", *args],
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 97), done.stdout + done.stderr  # 97: this machine was too busy to measure times
    (run_dir,) = out.iterdir()
    manifest = read_run(run_dir).manifest
    assert manifest is not None
    assert manifest.target.dialect == "template"
    return manifest.ledger


def require_whole(ledger: Ledger) -> None:
    """Every message came to every member once and in order, and nothing is unknown."""
    assert ledger.published > 200
    assert ledger.delivered == ledger.expected == 10 * ledger.published
    assert (ledger.missing, ledger.duplicated, ledger.reordered, ledger.corrupted, ledger.phantom) == (0,) * 5
    assert ledger.unknown_frames == 0


def test_nats_delivers_everything_once_and_in_order(nats_port: int, tmp_path: Path) -> None:
    """Its text protocol in binary frames, described by a table; it acknowledges nothing."""
    ledger = ledger_of("nats", nats_port, tmp_path / "runs")
    require_whole(ledger)
    assert ledger.acked is None


def test_socketio_delivers_everything_once_and_in_order(socketio_port: int, tmp_path: Path) -> None:
    """Its handshake in the order it wants, its pings answered, each message acknowledged."""
    ledger = ledger_of("socketio", socketio_port, tmp_path / "runs")
    require_whole(ledger)
    assert ledger.acked == ledger.published
