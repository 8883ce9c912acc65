"""What many nodes cost: a node on Redis beside one on the memory bus, and how far one Redis goes.

    python -m benchmarks.redis_bus [--rounds 2] [--docs]

Open loop for CPU, so that both buses carry the same load; closed loop for the most that one node publishes. The node
has a core of its own; the meter and Redis share the other. Takes about three minutes, needs redis-server and a C
compiler.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks import machine, meter, results
from benchmarks.machine import ROOT, Machine, said_by
from benchmarks.meter import Options, Reading, metering
from benchmarks.process import Cores, choose_cores, free_port, pinned, raise_file_limit, running, stop
from benchmarks.publish import write_blocks
from benchmarks.scenarios import cpu_us_per_delivery
from benchmarks.tables import number, table

DOCUMENT = ROOT / "docs/discussion/delivery.md"
BUILD = Path(__file__).parent / ".build"
WITHIN_S = 60.0
CLIENTS = 1_000
LOADS = ((1, 250), (1, 1_000), (10, 1_000), (50, 1_000))
"""Rooms and messages/s: what one message costs is shared by the members of its room."""
CROSS_PAIRS, CROSS_PER_S, CROSS_S = 20, 1_000, 5.0


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """One run at a fixed rate."""

    bus: str
    rooms: int
    messages_per_s: float
    reading: Reading
    redis_cpu_s: float

    @property
    def fan_out(self) -> int:
        return CLIENTS // self.rooms


class Sitting(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured."""

    began: str
    command: str
    commit: str
    machine: Machine
    redis: str
    carried: list[Carried]
    most: list[Carried]
    """Closed loop through one node."""
    cross_ms: list[float]
    """From sending at one node to receiving at the other, each message, sorted."""


@contextlib.contextmanager
def redis_server(core: int) -> Iterator[str]:
    """A Redis that keeps nothing on disk; gives its Unix socket."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/redis.sock"
        words = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, preexec_fn=pinned(core))  # noqa: PLW1509
        try:
            deadline = time.monotonic() + 10
            while said_by("redis-cli", "-s", path, "ping") != "PONG":
                if time.monotonic() > deadline:
                    raise RuntimeError("redis-server did not start")
                time.sleep(0.05)
            yield path
        finally:
            stop(process)


def redis_cpu_s(path: str) -> float:
    """CPU time that Redis has used."""
    lines = said_by("redis-cli", "-s", path, "info", "cpu").splitlines()
    return sum(float(line.partition(":")[2]) for line in lines if line.startswith(("used_cpu_user:", "used_cpu_sys:")))


@contextlib.contextmanager
def node(bus: str, cores: Cores) -> Iterator[tuple[int, int]]:
    """A server on that bus: its port and its pid."""
    port = free_port()
    words = ["serve", "--port", str(port), "--message-rate", "0", "--bus", bus]
    with running(
        [sys.executable, "-m", "scalechat", *words],
        core=cores.server,
        port=port,
        log=BUILD / "server.log",
        environ={"PYTHONPATH": str(ROOT)},
    ) as pid:
        yield port, pid


def carry(bus: str, rooms: int, per_s: float, how: Options, cores: Cores, program: Path, redis: str) -> Carried:
    """One fresh node under one load."""
    options: Options = {
        "clients": CLIENTS,
        "rooms": rooms,
        "sources": 1,
        "open-seconds": 20,
        "hold": 1,
        "settle": 0.3,
        "warmup": 1.0,
        "seconds": 5.0,
        "drain": 2.0,
        **how,
    }
    with node(bus, cores) as (port, pid):
        words: Options = {"port": port, "pid": pid, **options}
        with metering(program, words, core=cores.meter, within_s=WITHIN_S) as running_meter:
            running_meter.wait_for("start")
            running_meter.pass_to("open")
            before = redis_cpu_s(redis)
            running_meter.pass_to("measured")
            used = redis_cpu_s(redis) - before
            running_meter.go_on()
            reading = running_meter.reading()
    kind = "redis" if bus != "memory" else bus
    print(f"{kind} {rooms} rooms {per_s:g}/s: {cpu_us_per_delivery(reading):.2f} µs", file=sys.stderr, flush=True)
    return Carried(bus=kind, rooms=rooms, messages_per_s=per_s, reading=reading, redis_cpu_s=used)


async def cross(to: int, here: int) -> list[float]:
    """Latencies (ms, sorted) from one node to another, by clients in this process: its own delay is in them."""
    took_ms: list[float] = []
    began_s = trio.current_time() + 2.0
    with trio.fail_after(WITHIN_S):
        async with trio.open_nursery() as nursery:
            for pair in range(CROSS_PAIRS):
                nursery.start_soon(_pair, pair, to, here, began_s, took_ms)
    return sorted(took_ms)


async def _pair(pair: int, to: int, here: int, began_s: float, took_ms: list[float]) -> None:
    url = "ws://127.0.0.1:{}/ws?room=cross-{}&clientId={}-{}"
    count = round(CROSS_PER_S / CROSS_PAIRS * CROSS_S)
    async with (
        open_websocket_url(url.format(to, pair, "say", pair)) as speaker,
        open_websocket_url(url.format(here, pair, "hear", pair)) as listener,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_discard, speaker)
        nursery.start_soon(_listen, listener, count, took_ms, nursery.cancel_scope)
        for k in range(count):
            await trio.sleep_until(began_s + (k * CROSS_PAIRS + pair) / CROSS_PER_S)
            said = {"clientId": f"say-{pair}", "Message": f"{time.monotonic_ns()}".ljust(128)}
            await speaker.send_message(msgspec.json.encode(said).decode())
        await trio.sleep_forever()  # Until everything was heard.


async def _discard(speaker: WebSocketConnection) -> None:
    while True:
        await speaker.get_message()


async def _listen(listener: WebSocketConnection, count: int, took_ms: list[float], heard: trio.CancelScope) -> None:
    for _ in range(count):
        message = msgspec.json.decode(await listener.get_message())
        took_ms.append((time.monotonic_ns() - int(message["Message"])) / 1e6)
    heard.cancel()


def measure(rounds: int, command: str) -> Sitting:
    """Everything, the buses in turn."""
    here, began = machine.look(raise_file_limit()), datetime.now(UTC).isoformat(timespec="seconds")
    cores, program = choose_cores(), meter.build(BUILD)
    carried: list[Carried] = []
    with redis_server(cores.meter) as path:
        url = f"unix://{path}"
        for rooms, per_s in LOADS:
            for _ in range(rounds):
                for bus in ("memory", url):
                    how = {"publishers": min(CLIENTS, 250), "rate": per_s}
                    carried.append(carry(bus, rooms, per_s, how, cores, program, path))
        how = {"publishers": 250, "window": 4}
        most = [carry(url, 250, 0, how, cores, program, path) for _ in range(rounds)]
        with node(url, cores) as (to, _), node(url, cores) as (other, _):
            cross_ms = trio.run(cross, to, other)
    return Sitting(
        began=began,
        command=command,
        commit=machine.commit(),
        machine=here,
        redis=said_by("redis-server", "--version").partition("v=")[2].partition(" ")[0],
        carried=carried,
        most=most,
        cross_ms=cross_ms,
    )


def cpu_block(sitting: Sitting) -> str:
    """CPU per delivery on both buses."""
    rows = []
    for rooms, per_s in LOADS:
        runs = [run for run in sitting.carried if (run.rooms, run.messages_per_s) == (rooms, per_s)]
        cpu = {b: median(cpu_us_per_delivery(r.reading) for r in runs if r.bus == b) for b in ("memory", "redis")}
        redis = [run for run in runs if run.bus == "redis"]
        rows.append(
            [
                f"{rooms:,} × {CLIENTS // rooms:,}",
                number(per_s),
                *(number(cpu[bus]) for bus in ("memory", "redis")),
                f"{cpu['redis'] / cpu['memory']:.2f}",
                number(median(r.reading.p99_ms for r in runs if r.bus == "memory")),
                number(median(r.reading.p99_ms for r in redis)),
                number(median(_redis_us(r) for r in redis)),
                f"{sum(r.reading.undelivered for r in runs):,}",
            ]
        )
    head = ["rooms × members", "messages/s", "µs a delivery, memory", "Redis", "ratio", "p99 ms, memory", "Redis"]
    return table([*head, "Redis' own CPU, µs a message", "undelivered"], rows)


def most_block(sitting: Sitting) -> str:
    """One node at its most, two nodes at 1,000/s, and what it was measured on."""
    fastest = sorted(sitting.most, key=lambda run: run.reading.published_per_s)
    middle = fastest[len(fastest) // 2]
    heard, here = sitting.cross_ms, sitting.machine
    p50, p99, p999 = (heard[min(len(heard) - 1, int(len(heard) * share))] for share in (0.5, 0.99, 0.999))
    rows = [
        ["publishes/s through one node (250 rooms × 4, 4 in flight each)", number(middle.reading.published_per_s)],
        ["Redis' own CPU for one of them, µs", number(_redis_us(middle))],
        [f"from node to node at {CROSS_PER_S:,}/s, ms: p50", number(p50)],
        ["p99", number(p99)],
        ["p99.9", number(p999)],
        ["messages that did not come", f"{round(CROSS_PER_S * CROSS_S) - len(heard):,}"],
    ]
    return (
        f"{table(['', ''], rows)}\n\nMeasured {sitting.began[:10]} at commit `{sitting.commit}` by `{sitting.command}` "
        f"on {here.cpu}, {here.cores} cores, Linux {here.kernel}, {here.python}, Redis {sitting.redis} without "
        f"persistence on a Unix socket; messages of 128 bytes, medians of {len(sitting.most)} rounds."
    )


def _redis_us(run: Carried) -> float:
    # Redis was read around settling and warm-up as well: by the messages of all three.
    return run.redis_cpu_s * 1e6 / max(1, run.reading.total_published)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_bus", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="of each load, the buses in turn")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/ as well")
    options = parser.parse_args(arguments)
    if shutil.which("redis-server") is None or meter.compiler() is None:
        parser.error(f"needs redis-server (apt install redis-server) and {meter.NEEDS}")
    BUILD.mkdir(exist_ok=True)
    words = arguments if arguments is not None else sys.argv[1:]
    sitting = measure(options.rounds, " ".join(["python -m benchmarks.redis_bus", *words]))
    blocks = {"redis-cpu": cpu_block(sitting), "redis-most": most_block(sitting)}
    print("\n\n".join(blocks.values()))
    record = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(sitting, cross_ms=[])), indent=1)
    (results.DIRECTORY / "redis-bus.json").write_bytes(record + b"\n")
    if options.docs:
        write_blocks(DOCUMENT, blocks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
