"""``python -m benchmarks.capacity``: how much a server holds, searched for several times; do the answers agree?

Each search is the user's own command, ``python -m scalechat capacity``, against a server of its own on another core.
The settings make the server the limit and not the load client: where a whole core of a server is more than the load
client's core can ask of it, the server gets a part of one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import machine, results
from benchmarks.machine import ROOT, Machine
from benchmarks.process import CannotStart, choose_cores, free_port, pinned, raise_file_limit, running
from benchmarks.publish import DOCUMENT, write_blocks
from benchmarks.quota import NoQuota, limited
from benchmarks.servers import BY_NAME
from benchmarks.tables import number, table

RECORD = results.DIRECTORY / "capacity.json"
BUILD = Path(__file__).parent / ".build"
SEARCH_S = 900.0
"""A search that takes longer is interrupted, and tells what it knows by then."""
GIVE_UP_S = 20.0
"""After the interruption, for the drain and for writing."""
AGREE = 0.15
"""Answers of repeated searches may be so far apart, as a part of their median."""
OBJECTIVES = ("p99(delivery) < 200ms", "missing == 0", "evicted == 0")
COMMON = {"--msg-size": 128, "--ramp": 1000, "--warmup": 0.5, "--duration": 6, "--drain-timeout": 2}
"""In 3 s, thirty periods of a CPU quota, p99 of one load differs by a third from probe to probe."""
SEARCH = {"--resolution": 0.1, "--confirm": 3, "--confirm-of": 5}
"""Of three searches of a server whose capacity varies by 8 % from probe to probe, one triple in twenty is more than
15 % apart with 2 of 3 votes, and one in a hundred with 3 of 5 (simulated, disturbances that last for seconds)."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one search."""

    text: str
    exit_code: int
    held: float | None
    failed: float | None
    p99_ms: float | None = None
    delivered_per_s: float | None = None
    server_cores: float | None = None
    generator_cores: float | None = None
    caution: str | None = None
    """What the search said of the machine."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One server, one quantity."""

    name: str
    title: str
    unit: str
    load: str
    began: str
    commit: str
    command: str
    machine: Machine
    searches: list[Found] = []
    skipped: str | None = None

    @property
    def held(self) -> list[float]:
        """What each search found, where it was an answer."""
        return [found.held for found in self.searches if found.exit_code == 0 and found.held is not None]

    @property
    def apart(self) -> float | None:
        """How far the answers are apart, as a part of their median; None when a search gave none."""
        held = self.held
        whole = len(held) > 1 and len(held) == len(self.searches)
        return (max(held) - min(held)) / median(held) if whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is searched for."""

    name: str
    server: str
    """In `benchmarks.servers`."""
    load: str
    """For a person."""
    vary: str = "clients"
    unit: str = "clients"
    cores: float = 1.0
    """What the server has of its core."""
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def title(self) -> str:
        part = "" if self.cores == 1 else f", {self.cores:g} of a core"
        return BY_NAME[self.server].title + part


ROOM = {"--publishers": 20, "--msg-frequency": 100}
_ROOM = "one room, 200 messages/s"
_TALK = "rooms of 4, everybody 10 messages/s"
CASES = (
    Case(
        name="scalechat",
        server="scalechat",
        cores=0.2,
        load="one room, 1,000 messages/s",
        options={"--clients": 200, "--publishers": 20, "--msg-frequency": 20},
    ),
    Case(name="encode-once", server="scalechat-encode-once", cores=0.5, load=_ROOM, options={"--clients": 200, **ROOM}),
    Case(name="per-client", server="scalechat-per-client", load=_ROOM, options={"--clients": 200, **ROOM}),
    Case(name="websockets", server="websockets", cores=0.5, load=_ROOM, options={"--clients": 200, **ROOM}),
    Case(
        name="websockets-rate",
        server="websockets",
        cores=0.5,
        vary="rate",
        unit="messages/s",
        load="one room of 100, 20 of them speak",
        options={"--clients": 100, "--publishers": 20, "--msg-frequency": 40},
    ),
    Case(
        name="per-client-rooms",
        server="scalechat-per-client",
        vary="rooms",
        unit="rooms",
        load=_TALK,
        options={"--clients": 200, "--rooms": 50, "--msg-frequency": 100},
    ),
)


def search(case: Case, out: Path) -> Found:
    """One search, against a server that was just started."""
    cores, port = choose_cores(), free_port()
    server = BY_NAME[case.server]
    command = server.command(port, BUILD)
    environ = {"PYTHONPATH": str(ROOT), **server.environ}
    with running(command, core=cores.server, port=port, log=BUILD / "server.log", environ=environ) as pid:
        quota = limited(pid, case.cores) if case.cores < 1 else contextlib.nullcontext()
        with quota:
            return _carry_out(case, port, cores.meter, out)


def _carry_out(case: Case, port: int, core: int, out: Path) -> Found:
    target = "scalechat" if BY_NAME[case.server].ours else "plain"
    options = {
        "--server-url": f"ws://127.0.0.1:{port}/ws",
        "--target": target,
        "--vary": case.vary,
        "--out": out,
        **COMMON,
        **SEARCH,
        **case.options,
    }
    words = [str(word) for option in options.items() for word in option]
    words += [word for slo in OBJECTIVES if target == "scalechat" or "evicted" not in slo for word in ("--slo", slo)]
    with subprocess.Popen(
        [sys.executable, "-m", "scalechat", "capacity", "--json", *words],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=pinned(core),  # noqa: PLW1509  this program has one thread
    ) as process:
        try:
            said, _ = process.communicate(timeout=SEARCH_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                said, _ = process.communicate(timeout=GIVE_UP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    if not said:
        raise CannotStart(f"the search ended with {process.returncode}")
    document = msgspec.json.decode(said)
    figures = {name: figure["value"] for name, figure in document["figures"].items()}
    return Found(
        text=document["answer"],
        exit_code=process.returncode,
        held=figures["capacity"],
        failed=figures["capacity_failed"],
        p99_ms=figures.get("delivery_p99"),
        delivered_per_s=figures.get("delivered_per_s"),
        server_cores=figures.get("server_cpu"),
        generator_cores=figures.get("generator_cpu"),
        caution=document["caution"],
    )


def measure(case: Case, searches: int, before: Record | None, command: str, out: Path) -> Record:
    """Search so many times; `before` has searches that count with these."""
    record = before or Record(
        name=case.name,
        title=case.title,
        unit=case.unit,
        load=case.load,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=machine.commit(),
        command=command,
        machine=machine.look(raise_file_limit()),
    )
    missing = BY_NAME[case.server].needs()
    if missing:
        return msgspec.structs.replace(record, skipped=missing)
    for _ in range(searches):
        try:
            found = search(case, out)
        except (NoQuota, CannotStart) as error:
            return msgspec.structs.replace(record, skipped=str(error).strip().splitlines()[-1])
        print(f"{case.name}: {found.text}", file=sys.stderr, flush=True)
        record.searches.append(found)
    return record


def block(records: Sequence[Record]) -> str:
    """The table, whether the answers agree, and what it was measured on."""
    rows, skipped = [], []
    for record in records:
        if not record.searches:
            skipped.append(f"Not measured here: {record.title} ({record.skipped or 'no search'}).")
            continue
        last = record.searches[-1]
        rows.append(
            [
                record.title,
                f"{record.unit}: {record.load}",
                *(["; ".join(_bracket(found) for found in record.searches)]),
                "–" if record.apart is None else f"{record.apart:.0%}",
                _known(last.p99_ms),
                _known(None if last.delivered_per_s is None else last.delivered_per_s / 1000),
                "–" if last.server_cores is None else f"{last.server_cores:.0%}",
                "–" if last.generator_cores is None else f"{last.generator_cores:.0%}",
            ]
        )
    head = [
        "",
        "searched",
        "held – did not, by search",
        "answers apart",
        "p99 there, ms",
        "k deliveries/s there",
        "server, of a core",
        "load client, of a core",
    ]
    measured = dict.fromkeys(
        f"{record.began[:10]} at commit `{record.commit}`" for record in records if record.searches
    )
    here = records[0].machine
    notes = (
        f"Objectives: {', '.join(f'`{slo}`' for slo in OBJECTIVES)}; a probe measures {COMMON['--duration']} s, and a "
        f"bracket may be {SEARCH['--resolution']:.0%} wide, each end of it confirmed by {SEARCH['--confirm']} of "
        f"{SEARCH['--confirm-of']} probes. Measured {', '.join(measured)} by "
        f"`python -m benchmarks.capacity` on {here.cpu}, {here.cores} cores, Linux {here.kernel}, {here.python}: the "
        "server on one core, the load client on another."
    )
    if any(found.caution for record in records for found in record.searches):
        notes += " † The machine itself was not the same all along: the same work took now more, now less."
    return "\n\n".join([table(head, rows, texts=3), notes, *skipped])


def _bracket(found: Found) -> str:
    if found.exit_code or found.held is None or found.failed is None:
        return found.text
    return f"{found.held:,.0f} – {found.failed:,.0f}{'' if found.caution is None else ' †'}"


def _known(value: float | None) -> str:
    return "–" if value is None else number(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Search and write the record; 0 when repeated searches agree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], choices=[case.name for case in CASES], help="these alone")
    parser.add_argument("--searches", type=int, default=3, help="how often each is searched for (default 3)")
    parser.add_argument("--keep", action="store_true", help="add to the searches that are in the record already")
    parser.add_argument("--out", type=Path, help="keep the searches' directories here")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/ as well")
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["python -m benchmarks.capacity", *given])
    BUILD.mkdir(exist_ok=True)
    known = {record.name: record for record in _read()}
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            if case.name in options.only or not options.only:
                before = known.get(case.name) if options.keep else None
                if before is not None and options.searches and not _same_tree(before):
                    print(f"{case.name}: the searches of {before.commit} give way to this tree's", file=sys.stderr)
                    before = None
                known[case.name] = measure(case, options.searches, before, command, options.out or Path(scratch))
                RECORD.write_bytes(msgspec.json.format(msgspec.json.encode(_ordered(known)), indent=1) + b"\n")
    text = block(_ordered(known))
    print(text)
    if options.docs:
        write_blocks(DOCUMENT, {"capacity": text})
    return int(any(record.apart is not None and record.apart > AGREE for record in known.values()))


def _read() -> list[Record]:
    return msgspec.json.decode(RECORD.read_bytes(), type=list[Record]) if RECORD.exists() else []


def _same_tree(record: Record) -> bool:
    """Whether the record's searches and today's are of one commit; the record itself is a change to the tree."""
    return record.commit.removesuffix("+changes") == machine.commit().removesuffix("+changes")


def _ordered(known: Mapping[str, Record]) -> list[Record]:
    return [known[case.name] for case in CASES if case.name in known]


if __name__ == "__main__":
    sys.exit(main())
