"""A real Redis Cluster of three masters on this machine, for tests."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

FORM_S = 20.0  # Ordinarily one second.
SLOTS = 16384


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """`ports` of its masters, each with a third of the slots."""

    ports: tuple[int, ...]

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def cli(self, *command: str, port: int | None = None) -> str:
        """Run a command on one server, or on every one."""
        every = self.ports if port is None else (port,)
        answers = [
            subprocess.run(
                ["redis-cli", "-p", str(p), *command], capture_output=True, text=True, check=False, timeout=10
            ).stdout.strip()
            for p in every
        ]
        return "\n".join(answers)


def _free_ports() -> tuple[int, ...]:
    """Three ports whose neighbour 10,000 above, where servers of a cluster talk, is free as well."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in range(23100, 32000, 7):
            with contextlib.suppress(OSError):
                for number in (port, port + 10_000):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", number))
                found.append(port)
            if len(found) == 3:
                return tuple(found)
    pytest.fail("no free ports for a Redis Cluster")


@contextlib.contextmanager
def redis_cluster(binary: str) -> Iterator[RedisCluster]:
    """A running cluster."""
    folder = Path(tempfile.mkdtemp(prefix="scalechat-cluster-"))
    cluster = RedisCluster(_free_ports())
    processes = []
    try:
        for port in cluster.ports:
            (folder / str(port)).mkdir()
            processes.append(
                subprocess.Popen(
                    [
                        *(binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder / str(port))),
                        *("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--save", ""),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        _eventually(lambda: cluster.cli("ping").split() == ["PONG"] * 3, "the servers answer")
        for n, port in enumerate(cluster.ports):
            first, last = n * SLOTS // 3, (n + 1) * SLOTS // 3 - 1
            cluster.cli("cluster", "addslotsrange", str(first), str(last), port=port)
            cluster.cli("cluster", "meet", "127.0.0.1", str(cluster.ports[0]), port=port)
        _eventually(lambda: cluster.cli("cluster", "info").count("cluster_state:ok") == 3, "the cluster is formed")
        yield cluster
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _eventually(condition: object, what: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + FORM_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {FORM_S:g} s: {what}")
        time.sleep(0.02)  # other processes: there is no event to wait for
