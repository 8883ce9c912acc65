"""What a message costs a node that did not publish it: it reads it from Redis and hands it to its own members.

    python -m benchmarks.further_node [--rounds 1]

One node publishes, another has the members, and that one's CPU is read. It has a core of its own; everything else
shares the other one. Takes about two minutes a round, needs redis-server and a C compiler.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from benchmarks import machine, meter, results
from benchmarks.machine import Machine
from benchmarks.meter import Options, Reading, metering
from benchmarks.process import choose_cores, raise_file_limit
from benchmarks.redis_bus import BUILD, WITHIN_S, node, redis_server

ROOMS: Final = 100
RATES_PER_S: Final = (300, 1_000, 3_000, 6_000)
MEMBERS: Final = (1, 5)
UPGRADE: Final = (
    "GET /ws?clientId=far-{0}-{1}&room=r{0} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FILE: Final = results.DIRECTORY / "further-node.json"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One run: the reading's server is the node that did not publish."""

    messages_per_s: float
    members: int
    """Of each room, on that node."""
    reading: Reading
    delivered: int
    """By that node, of `reading.total_published` messages to each of the members."""

    @property
    def cpu_us(self) -> float:
        """For one message, its deliveries included."""
        return 1e6 * self.reading.server_cpu_s / (self.reading.published_per_s * self.reading.seconds)


class Sitting(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured."""

    began: str
    command: str
    commit: str
    machine: Machine
    received: list[Received]


@contextlib.contextmanager
def members(port: int, each: int) -> Iterator[None]:
    """So many members in each room, who read and throw away."""
    opened = [_opened(port, UPGRADE.format(room, number)) for room in range(ROOMS) for number in range(each)]
    over = threading.Event()
    reader = threading.Thread(target=_drain, args=(opened, over))
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()
        for connection in opened:
            connection.close()


def _opened(port: int, head: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
    connection.sendall(head.encode())
    if not connection.recv(4096).startswith(b"HTTP/1.1 101"):
        raise RuntimeError("the node refused a member")
    connection.setblocking(False)
    return connection


def _drain(opened: Sequence[socket.socket], over: threading.Event) -> None:
    """All of them now and then: a reader that woke for each message would take the core from who publishes."""
    while not over.wait(0.02):
        for connection in opened:
            with contextlib.suppress(BlockingIOError):
                connection.recv(1 << 20)


def _delivered(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WITHIN_S) as answer:
        found = re.search(rb"^scalechat_deliveries_total ([0-9.e+]+)$", answer.read(), re.MULTILINE)
    return int(float(found[1])) if found else 0


def measure(rounds: int, command: str) -> Sitting:
    """All loads in turn, so often."""
    here, began = machine.look(raise_file_limit()), datetime.now(UTC).isoformat(timespec="seconds")
    cores, program = choose_cores(), meter.build(BUILD)
    received: list[Received] = []
    with redis_server(cores.meter) as path:
        for _ in range(rounds):
            for per_s in RATES_PER_S:
                for each in MEMBERS:
                    with (
                        node(f"unix://{path}", replace(cores, server=cores.meter)) as (publisher, _),
                        node(f"unix://{path}", cores) as (port, pid),
                        members(port, each),
                    ):
                        options: Options = {
                            "port": publisher,
                            "pid": pid,
                            "clients": ROOMS,
                            "rooms": ROOMS,
                            "publishers": ROOMS,
                            "rate": per_s,
                            "sources": 1,
                            "open-seconds": 20,
                            "hold": 1,
                            "settle": 0.3,
                            "warmup": 1.0,
                            "seconds": 5.0,
                            "drain": 2.0,
                        }
                        with metering(program, options, core=cores.meter, within_s=WITHIN_S) as running:
                            running.wait_for("start")
                            running.pass_to("open")
                            running.pass_to("measured")
                            running.go_on()
                            reading = running.reading()
                        one = Received(messages_per_s=per_s, members=each, reading=reading, delivered=_delivered(port))
                        received.append(one)
                    print(f"{per_s}/s, {each} members a room: {one.cpu_us:.1f} µs", file=sys.stderr, flush=True)
    return Sitting(began=began, command=command, commit=machine.commit(), machine=here, received=received)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.further_node", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="of each load")
    options = parser.parse_args(arguments)
    if shutil.which("redis-server") is None or meter.compiler() is None:
        parser.error(f"needs redis-server (apt install redis-server) and {meter.NEEDS}")
    BUILD.mkdir(exist_ok=True)
    words = arguments if arguments is not None else sys.argv[1:]
    sitting = measure(options.rounds, " ".join(["python -m benchmarks.further_node", *words]))
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(sitting), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
