"""``python -m benchmarks.load_clients``: what one core of a load client can take in, beside what people use instead.

The server is Scale-Chat on a core of its own; the clients sit in one room and all messages go to all of them. Each
client is offered more and more; its figure is the most it received in a second without losing a connection.
"""

from __future__ import annotations

import argparse
import csv
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
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil

from benchmarks import machine, results
from benchmarks.machine import ROOT, Machine
from benchmarks.process import Cores, choose_cores, free_port, pinned, raise_file_limit, running, stop
from benchmarks.publish import write_blocks
from benchmarks.tables import number, table

DOCUMENT = ROOT / "docs/discussion/measuring.md"
BUILD = Path(__file__).parent / ".build"
CONNECTIONS = 'scalechat_connections{dialect="plain"}'
MEMBERS = 1_000
IDLE_MEMBERS = 4_000
"""Enough for the memory of a client to stand out of that of a process."""
SECONDS = 5.0
TIMEOUT_S = 90.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one client."""

    clients: int
    deliveries: int
    seconds: float
    cpu_s: float
    rss_before_kb: int
    rss_open_kb: int
    lost: int

    @property
    def per_s(self) -> float:
        return self.deliveries / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU per delivery."""
        return self.cpu_s * 1e6 / max(1, self.deliveries)

    @property
    def rss_kb(self) -> float:
        """Memory of a client."""
        return (self.rss_open_kb - self.rss_before_kb) / self.clients


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One tool: its runs under load, by messages offered a second, and the one of many idle clients."""

    name: str
    title: str
    version: str
    knows: str
    """What it can say of what it received."""
    loaded: dict[float, Figures] = {}
    idle: Figures | None = None
    skipped: str | None = None

    @property
    def best(self) -> Figures | None:
        """The run with the most deliveries in a second among those that lost nobody."""
        return max((run for run in self.loaded.values() if not run.lost), key=lambda run: run.per_s, default=None)


class Sitting(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured."""

    began: str
    command: str
    commit: str
    machine: Machine
    records: list[Record]


@dataclass(frozen=True, slots=True)
class Load:
    """What one run asks for."""

    port: int
    clients: int
    messages_per_s: float
    core: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


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


def scalechat(load: Load) -> Figures:
    """Ours, as it is shipped: what it says comes out of its run directory."""
    with tempfile.TemporaryDirectory() as out:
        publishers = min(16, load.clients)
        options = {
            "--server-url": load.url,
            "--clients": load.clients,
            "--publishers": publishers,
            "--msg-frequency": 1000 * publishers / load.messages_per_s,
            "--msg-size": 128,
            "--ramp": 2000,
            "--warmup": 1,
            "--duration": SECONDS,
            "--out": out,
        }
        words = [str(word) for option in options.items() for word in option]
        before_kb = _rss_of_one(load) if load.messages_per_s <= 1 else 0
        _run([sys.executable, "-m", "scalechat", "load", "--quiet", *words], load.core, expected=(0, 97, 98))
        (run,) = Path(out).iterdir()
        series, health = (_steady(run / name) for name in ("timeseries.csv", "health.csv"))
        first, last = series[0], series[-1]
        return Figures(
            clients=load.clients,
            deliveries=int(last["delivered_total"]) - int(first["delivered_total"]),
            seconds=float(last["t_s"]) - float(first["t_s"]),
            cpu_s=_cpu(health[-1]) - _cpu(health[0]),
            rss_before_kb=before_kb,
            rss_open_kb=int(health[-1]["rss_bytes"]) // 1024,
            lost=int(last["disconnects_total"]),
        )


def _rss_of_one(load: Load) -> int:
    return scalechat(Load(load.port, 1, 2, load.core)).rss_open_kb


def _steady(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["phase"] == "steady"]


def _cpu(row: dict[str, str]) -> float:
    return float(row["cpu_user_s_total"]) + float(row["cpu_system_s_total"])


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
        run=scalechat,
        messages_per_s=(500, 1000, 2000, 4000),
    ),
    Tool(
        name="websockets",
        title="a client on `websockets` (asyncio)",
        knows="a count, and latency from the time of sending",
        version=lambda: f"websockets {version('websockets')}",
        needs=lambda: None,
        run=plain("websockets_asyncio"),
        messages_per_s=(20, 40, 60, 80),
    ),
    Tool(
        name="trio-websocket",
        title="a client on trio-websocket",
        knows="a count, and latency from the time of sending",
        version=lambda: f"trio-websocket {version('trio-websocket')}",
        needs=lambda: None,
        run=plain("plain_trio_websocket"),
        messages_per_s=(5, 10, 15, 20),
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
    port = free_port()
    command = [sys.executable, "-m", "scalechat", "serve", "--port", str(port), "--message-rate", "0"]
    with running(command, core=cores.server, port=port, log=log, environ={"PYTHONPATH": str(ROOT)}):
        return tool.run(Load(port, clients, rate, cores.meter))


def block(sitting: Sitting) -> str:
    """The table, and what it was measured on."""
    rows = []
    for record in sitting.records:
        best = record.best
        if best is None:
            rows.append(
                [record.title, f"not measured: {record.skipped or 'lost connections at every rate'}", *[""] * 4]
            )
            continue
        idle = record.idle or record.loaded[min(record.loaded)]
        busy = best.cpu_s / best.seconds
        rows.append(
            [
                record.title,
                record.knows,
                number(best.per_s / 1000),
                number(best.cpu_us),
                f"{busy:.0%}",
                number(idle.rss_kb),
            ]
        )
    head = ["", "what it knows", "k deliveries/s", "CPU per delivery, µs", "core busy", "kB RSS per client"]
    here = sitting.machine
    versions = ", ".join(record.version for record in sitting.records if record.version)
    return (
        f"{table(head, rows, texts=2)}\n\nMeasured {sitting.began[:10]} at commit `{sitting.commit}` by "
        f"`{sitting.command}` on {here.cpu}, {here.cores} cores, Linux {here.kernel}, {here.python}; {versions}. "
        f"{MEMBERS:,} clients in one room, messages of 128 bytes, offered more and more; memory from "
        f"{IDLE_MEMBERS:,} idle clients (Artillery: its lightest run)."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the record; 0 when everything that can run here ran."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_clients", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], choices=[tool.name for tool in TOOLS], help="these alone")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/ as well")
    options = parser.parse_args(arguments)
    limit = raise_file_limit()
    here, began = machine.look(limit), datetime.now(UTC).isoformat(timespec="seconds")
    BUILD.mkdir(exist_ok=True)
    chosen = [tool for tool in TOOLS if tool.name in options.only or not options.only]
    sitting = Sitting(
        began=began,
        command=" ".join(
            ["python -m benchmarks.load_clients", *(arguments if arguments is not None else sys.argv[1:])]
        ),
        commit=machine.commit(),
        machine=here,
        records=[measure(tool, choose_cores(), BUILD / "server.log") for tool in chosen],
    )
    print(block(sitting))
    if not options.only:
        path = results.DIRECTORY / "load-clients.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(sitting), indent=1) + b"\n")
    if options.docs:
        write_blocks(DOCUMENT, {"load-clients": block(sitting)})
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
