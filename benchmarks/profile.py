"""``python -m benchmarks.profile``: where a delivery's, a publish's and a connection's microseconds go.

py-spy looks at a running Scale-Chat from outside while the meter keeps it busy; the shares it sees are multiplied with
the CPU time that the kernel charged to the server, over what came out of it.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from benchmarks.compare import BUILD, end_politely
from benchmarks.meter import MeterFailed, Options, Reading, build, metering
from benchmarks.process import CannotStart, choose_cores, free_port, pinned, raise_file_limit, running, stop
from benchmarks.publish import DOCUMENT, write_blocks
from benchmarks.scenarios import cpu_us_per_connection, cpu_us_per_delivery
from benchmarks.stacks import Spent, by_part, self_time
from benchmarks.tables import number, table

RATE_HZ = 250
"""Each sample stops the server for about a millisecond, so the rate slows it by a quarter; the shares stay the same."""
ATTACH_S = 20.0
MEASURE_S = 60.0
ROWS = 14


class ProfilerFailed(Exception):
    """py-spy could not look at the server."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is divided by what."""

    name: str
    title: str
    options: Options
    cost_us: Callable[[Reading], float]
    phase: str = "measured"
    """At whose end the meter stops sampling; it began where the one before ended."""


def _us_per_publish(reading: Reading) -> float:
    return reading.server_cpu_s * 1e6 / max(1.0, reading.published_per_s * reading.seconds)


_BUSY: Options = {"settle": 0.3, "warmup": 0.5, "seconds": 6, "drain": 1}
QUESTIONS = (
    Question(
        "delivery",
        "A delivery: 1 room × 1,000, 4 publishers × 4 in flight",
        {**_BUSY, "clients": 1_000, "publishers": 4, "window": 4},
        cpu_us_per_delivery,
    ),
    Question(
        "publish",
        "A publish: 250 rooms × 4, everyone publishing, 4 in flight",
        {**_BUSY, "clients": 1_000, "rooms": 250, "publishers": 1_000, "window": 4},
        _us_per_publish,
    ),
    Question(
        "connection",
        "A connection opened and upgraded",
        {"clients": 10_000, "publishers": 0, "settle": 1, "warmup": 0, "seconds": 0},
        cpu_us_per_connection,
        phase="open",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile and print; 0, or 2 when something needed is missing."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, end_politely)
    blocks: dict[str, str] = {}
    for question in QUESTIONS:
        if options.question and question.name not in options.question:
            continue
        try:
            reading, spent = profile(question, servers.BY_NAME[options.server])
        except (CannotStart, MeterFailed, ProfilerFailed) as error:
            print(f"profile: {error}", file=sys.stderr)
            return 2
        blocks[f"profile-{question.name}"] = block(question, reading, spent)
        print(f"## {question.title}\n\n{blocks[f'profile-{question.name}']}\n")
    if options.docs:
        write_blocks(DOCUMENT, blocks)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__.partition("\n")[0])
    ours = [server.name for server in servers.SERVERS if server.ours]
    parser.add_argument("question", nargs="*", help="of: delivery publish connection (default: all)")
    parser.add_argument("--server", choices=ours, default="scalechat", help="which strategy (default: scalechat)")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md as well")
    return parser


def profile(question: Question, server: servers.Server) -> tuple[Reading, list[Spent]]:
    """Raises `CannotStart`, `MeterFailed`, `ProfilerFailed`."""
    raise_file_limit()
    cores, port, stacks = choose_cores(), free_port(), BUILD / "stacks.txt"
    meter_program, log = build(BUILD), BUILD / "profiled.log"
    with running(server.command(port, BUILD), core=cores.server, port=port, log=log, environ=server.environ) as pid:
        options = {"port": port, "pid": pid, "hold": 1, **question.options}
        with metering(meter_program, options, core=cores.meter, within_s=MEASURE_S) as meter:
            meter.wait_for("start")
            for phase in ("open", "measured"):
                with sampling(pid, stacks, core=cores.meter) if phase == question.phase else nullcontext():
                    meter.pass_to(phase)
            meter.go_on()
            return meter.reading(), self_time(stacks.read_text().splitlines())


@contextmanager
def sampling(pid: int, stacks: Path, *, core: int) -> Iterator[None]:
    """Sample the process while entered; afterwards the stacks are in the file. Raises `ProfilerFailed`."""
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise ProfilerFailed("needs py-spy (pip install 'scalechat[bench]')")
    log = stacks.with_suffix(".log")
    flags = ["--pid", str(pid), "--rate", str(RATE_HZ), "--duration", f"{MEASURE_S:.0f}", "--native"]
    with log.open("wb") as output:
        sampler = subprocess.Popen(
            [str(program), "record", *flags, "--format", "raw", "--output", str(stacks)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=pinned(core),  # noqa: PLW1509  this program has one thread
        )
    try:
        _wait_sampling(sampler, log)
        yield
        sampler.send_signal(signal.SIGINT)  # It writes what it has.
        if sampler.wait(ATTACH_S):
            raise ProfilerFailed(log.read_text(errors="replace"))
    finally:
        stop(sampler)


def _wait_sampling(sampler: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + ATTACH_S
    while "Sampling" not in (said := log.read_text(errors="replace")):
        if sampler.poll() is not None or time.monotonic() > deadline:
            raise ProfilerFailed(f"py-spy does not sample (it needs root or CAP_SYS_PTRACE): {said}")
        time.sleep(0.02)


def block(question: Question, reading: Reading, spent: Sequence[Spent]) -> str:
    """One question's answer as Markdown."""
    cost_us = question.cost_us(reading)
    parts = ", ".join(f"{part} {number(share * cost_us)}" for part, share in by_part(spent) if share >= 0.005)
    rows = [
        [f"`{item.function}`", item.part, f"{item.share:.0%}", number(item.share * cost_us)] for item in spent[:ROWS]
    ]
    rest = sum(item.share for item in spent[ROWS:])
    rows.append([f"{len(spent) - ROWS} others" if rest else "others", "", f"{rest:.0%}", number(rest * cost_us)])
    head = ["own time", "part", "share", "µs"]
    return f"**{number(cost_us)} µs** of CPU each. By part, in µs: {parts}.\n\n{table(head, rows, texts=2)}"


if __name__ == "__main__":
    sys.exit(main())
