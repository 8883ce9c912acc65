"""What people use instead: clients of libraries, and Artillery. Each is offered more and more.

A tool's figure is the most it received in a second without losing a connection.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil

from benchmarks import machine
from benchmarks.load_clients.figures import Figures, Record
from benchmarks.load_clients.ours import TIMEOUT_S, Load, rss_of_one_kb, scalechat
from benchmarks.load_clients.serving import OURS, served
from benchmarks.machine import ROOT
from benchmarks.process import Cores, pinned, stop

BUILD = Path(__file__).parent.parent / ".build"
CONNECTIONS = 'scalechat_connections{dialect="plain"}'
MEMBERS = 1_000
IDLE_MEMBERS = 4_000
"""Enough for the memory of a client to stand out of that of a process."""
SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    title: str
    knows: str
    version: Callable[[], str]
    needs: Callable[[], str | None]
    run: Callable[[Load], Figures]
    messages_per_s: tuple[float, ...]
    """What it is offered, less to more."""


def ours(load: Load) -> Figures:
    """Our own; idle, without the memory that does not come with clients."""
    figures = scalechat(load, seconds=SECONDS)
    return figures if load.messages_per_s > 1 else msgspec.structs.replace(figures, rss_before_kb=rss_of_one_kb(load))


def plain(program: str) -> Callable[[Load], Figures]:
    """A program of `benchmarks.clients`."""

    def run(load: Load) -> Figures:
        words = [f"{load.url}?clientId=plain&room=r", str(load.clients), str(load.messages_per_s), str(SECONDS)]
        line = _run([sys.executable, "-m", f"benchmarks.clients.{program}", *words], load.core)
        return msgspec.json.decode(line, type=Figures)

    return run


def artillery(load: Load) -> Figures:
    """Artillery's WebSocket engine: users connect one after the other and later send a message each, at the same rate.

    What arrives it reads and does not look at, so deliveries are the server's count, and CPU and memory are looked at
    from outside.
    """
    spread_s = min(load.clients / load.messages_per_s, 20.0)
    wait_s = spread_s + 1
    flow = [
        {"think": wait_s},
        {"send": json.dumps({"clientId": "artillery", "Message": "x" * 128})},
        {"think": spread_s + 2},
    ]
    script = {
        "config": {
            "target": load.url + "?clientId=artillery&room=r",
            "phases": [{"duration": max(1, round(spread_s)), "arrivalCount": load.clients}],
        },
        "scenarios": [{"engine": "ws", "flow": flow}],
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "room.json"
        path.write_text(json.dumps(script))
        process = subprocess.Popen(
            [str(ARTILLERY), "run", "--quiet", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"ARTILLERY_DISABLE_TELEMETRY": "true"},
            preexec_fn=pinned(load.core),  # noqa: PLW1509  this program has one thread
        )
        try:
            return _watched(process, load, wait_s, spread_s)
        finally:
            stop(process)


def _watched(process: subprocess.Popen[bytes], load: Load, wait_s: float, spread_s: float) -> Figures:
    """Look at a process from outside while it receives; its users send from `wait_s` after the first connected."""
    outside = psutil.Process(process.pid)
    before_kb = 0
    deadline = time.monotonic() + 30
    while not _server(load, CONNECTIONS):
        before_kb = _tree(outside)[1]
        if time.monotonic() > deadline:
            raise RuntimeError("nobody connected")
        time.sleep(0.1)
    time.sleep(wait_s + 0.2 * spread_s)
    open_kb = _tree(outside)[1]
    opened = _server(load, CONNECTIONS)
    marks = []
    for pause_s in (0.6 * spread_s, 0.0):
        marks.append((time.monotonic(), _tree(outside)[0], _server(load, "scalechat_deliveries_total")))
        time.sleep(pause_s)
    (began, cpu_began, had), (ended, cpu_ended, has) = marks
    return Figures(
        clients=load.clients,
        deliveries=round(has - had),
        seconds=ended - began,
        cpu_s=cpu_ended - cpu_began,
        rss_before_kb=before_kb,
        rss_open_kb=open_kb,
        lost=load.clients - round(opened),
    )


def _tree(process: psutil.Process) -> tuple[float, int]:
    """CPU seconds and memory (kB) of a process and its children."""
    cpu, rss = 0.0, 0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        cpu += times.user + times.system
        rss += each.memory_info().rss // 1024
    return cpu, rss


def _server(load: Load, metric: str) -> float:
    """A figure of the server's own."""
    with urllib.request.urlopen(f"http://127.0.0.1:{load.port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == metric)


ARTILLERY = BUILD / "artillery/node_modules/.bin/artillery"


def _artillery_needs() -> str | None:
    """Install it into the build directory; why not, when it cannot be."""
    if ARTILLERY.exists():
        return None
    if not shutil.which("npm"):
        return "needs npm"
    ARTILLERY.parents[2].mkdir(parents=True, exist_ok=True)
    # Without scripts: one of its dependencies would download a browser.
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "artillery@2"]
    done = subprocess.run(command, cwd=ARTILLERY.parents[2], capture_output=True, text=True, timeout=300, check=False)
    return None if ARTILLERY.exists() else f"npm install artillery@2 failed: {done.stderr.strip()[-200:]}"


def _artillery_version() -> str:
    package = ARTILLERY.parents[1] / "artillery/package.json"
    return f"artillery {json.loads(package.read_text())['version']}"


TOOLS = (
    Tool(
        name="scalechat",
        title="**`scalechat load`**",
        knows="every loss, duplicate, reordering and corruption; latency from the intended time, by recipient",
        version=lambda: f"scalechat {version('scalechat')}",
        needs=lambda: None,
        run=ours,
        messages_per_s=(2000, 4000),
    ),
    Tool(
        name="websockets",
        title="a client on `websockets` (asyncio)",
        knows="a count, and latency from the time of sending",
        version=lambda: f"websockets {version('websockets')}",
        needs=lambda: None,
        run=plain("websockets_asyncio"),
        messages_per_s=(20, 40, 60),
    ),
    Tool(
        name="trio-websocket",
        title="a client on trio-websocket",
        knows="a count, and latency from the time of sending",
        version=lambda: f"trio-websocket {version('trio-websocket')}",
        needs=lambda: None,
        run=plain("plain_trio_websocket"),
        messages_per_s=(10, 20),
    ),
    Tool(
        name="artillery",
        title="Artillery, its `ws` engine",
        knows="nothing: it does not look at what arrives by itself (the count here is the server's)",
        version=_artillery_version,
        needs=_artillery_needs,
        run=artillery,
        messages_per_s=(100, 200),
    ),
)


def measure(tool: Tool, cores: Cores, log: Path) -> Record:
    """Offer a tool more and more, until it loses connections, and then many clients that are idle."""
    skipped = tool.needs()
    record = Record(
        name=tool.name,
        title=tool.title,
        version="" if skipped else tool.version(),
        knows=tool.knows,
        commit=machine.commit(),
        skipped=skipped,
    )
    if skipped:
        return record
    for rate in tool.messages_per_s:
        figures = _served(tool, cores, log, MEMBERS, rate)
        record.loaded[rate] = figures
        print(f"{tool.name} {rate:g}/s: {figures.per_s:,.0f}/s, {figures.cpu_us:.2f} µs", file=sys.stderr, flush=True)
        if figures.lost or figures.per_s < 0.9 * rate * MEMBERS:
            break
    if tool.run is artillery:
        return record  # Its users cannot be idle and counted: memory is that of its first run.
    return msgspec.structs.replace(record, idle=_served(tool, cores, log, IDLE_MEMBERS, 1))


def _served(tool: Tool, cores: Cores, log: Path, clients: int, rate: float) -> Figures:
    """One run on a server of its own."""
    with served(OURS, cores, log) as (port, pid):
        return tool.run(Load(port, pid, clients, rate, cores.meter))


def _run(command: Sequence[str], core: int, *, expected: tuple[int, ...] = (0,)) -> bytes:
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        env=environ,
        preexec_fn=pinned(core),
    )
    if done.returncode not in expected:
        raise RuntimeError(
            f"{command[1:4]} ended with {done.returncode}: {done.stderr[-500:].decode(errors='replace')}"
        )
    return done.stdout
