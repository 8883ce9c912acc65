"""Runs `scalechat load` as it is shipped; what it says of itself comes out of its run directory."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.load_clients.figures import Figures
from benchmarks.machine import ROOT
from benchmarks.process import pinned, stop

LOOK_S = 0.1
"""Between two looks at the CPU time of a process; the kernel states it in hundredths of a second."""
TIMEOUT_S = 300.0
"""20,000 clients on a slow or an emulated machine say goodbye for two minutes."""
_INEXACT = ("missing", "duplicated", "reordered", "corrupted", "phantom")


@dataclass(frozen=True, slots=True)
class Load:
    """What one run asks for."""

    port: int
    server_pid: int
    clients: int
    messages_per_s: float
    core: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


def scalechat(load: Load, options: Mapping[str, object] | None = None, *, seconds: float = 5.0) -> Figures:
    """One run. `options` of the command line replace these."""
    publishers = min(16, load.clients)
    words: dict[str, object] = {
        "--server-url": load.url,
        "--clients": load.clients,
        "--publishers": publishers,
        "--msg-size": 128,
        "--ramp": 2000,
        "--warmup": 1,
        "--duration": seconds,
    }
    words |= options or {}
    words.setdefault("--msg-frequency", 1000 * int(str(words["--publishers"])) / load.messages_per_s)
    with tempfile.TemporaryDirectory() as out:
        command = [str(word) for option in (words | {"--out": out}).items() for word in option if word is not None]
        marks = _watched([sys.executable, "-m", "scalechat", "load", "--quiet", *command], load)
        (run,) = Path(out).iterdir()
        series, health = (_steady(run / name) for name in ("timeseries.csv", "health.csv"))
        first, last = series[0], series[-1]
        from_unix_s, until_unix_s = (int(row["ts_unix_ns"]) / 1e9 for row in (first, last))
        manifest = msgspec.json.decode((run / "run.json").read_bytes())
        summary = msgspec.json.decode((run / "summary.json").read_bytes())
    return Figures(
        clients=load.clients,
        deliveries=int(last["delivered_total"]) - int(first["delivered_total"]),
        seconds=until_unix_s - from_unix_s,
        cpu_s=_cpu(health[-1]) - _cpu(health[0]),
        server_cpu_s=_at(marks, until_unix_s) - _at(marks, from_unix_s),
        rss_before_kb=0,
        rss_open_kb=int(health[-1]["rss_bytes"]) // 1024,
        lost=load.clients - int(last["connects_total"]) + int(last["disconnects_total"]),
        loop_lag_p99_ms=summary["figures"]["loop_lag_p99"]["value"],
        wrong=sum(manifest["ledger"][kind] for kind in _INEXACT),
    )


def rss_of_one_kb(load: Load) -> int:
    """Memory of a load client with a single client: what does not come with each."""
    one = Load(load.port, load.server_pid, 1, 2, load.core)
    return scalechat(one, {"--publishers": 1}, seconds=2.0).rss_open_kb


def _watched(command: list[str], load: Load) -> list[tuple[float, float]]:
    """Run it, and look at the server meanwhile: (unix time, CPU seconds so far)."""
    marks = []
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=pinned(load.core),  # noqa: PLW1509  this program has one thread
    )
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            marks.append((time.time(), cpu_s(load.server_pid)))
            time.sleep(LOOK_S)
        if process.poll() not in (0, 97, 98, 99):
            _, said = process.communicate(timeout=1) if process.poll() is not None else (b"", b"took too long")
            raise RuntimeError(f"the load client ended with {process.returncode}: {said.decode(errors='replace')}")
    finally:
        stop(process)
        if process.stderr is not None:
            process.stderr.close()
    return marks


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _at(marks: list[tuple[float, float]], unix_s: float) -> float:
    """What stood there at a time, in a straight line between two looks."""
    before = max((mark for mark in marks if mark[0] <= unix_s), default=marks[0])
    after = min((mark for mark in marks if mark[0] > unix_s), default=marks[-1])
    if after[0] <= before[0]:
        return before[1]
    return before[1] + (after[1] - before[1]) * (unix_s - before[0]) / (after[0] - before[0])


def _steady(path: Path) -> list[dict[str, str]]:
    """The rows of the measured phase, and before them the last one of the phase before: totals of its beginning."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    phases = [row["phase"] for row in rows]
    begin = phases.index("steady")
    return rows[begin - 1 : begin + phases.count("steady")]


def _cpu(row: dict[str, str]) -> float:
    return float(row["cpu_user_s_total"]) + float(row["cpu_system_s_total"])
