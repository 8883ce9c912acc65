"""``python -m benchmarks.load_clients``: what one core of a load client can take in, beside what people use instead.

The server is on a core of its own; the clients sit in one room and all messages go to all of them. First our own
scenarios and what has to be reached in them; then ours and each other tool is offered more and more. All of it takes
some nine minutes; with `--only` it may be done in parts, which make one record as long as the commit is the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from benchmarks import machine, results
from benchmarks.load_clients import others, rows, tables
from benchmarks.load_clients.figures import Sitting
from benchmarks.machine import ROOT
from benchmarks.meter import MeterFailed, build
from benchmarks.process import choose_cores, raise_file_limit
from benchmarks.publish import write_blocks
from benchmarks.run import Bench

DOCUMENT = ROOT / "docs/performance.md"
RECORD = results.DIRECTORY / "load-clients.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the record; 0 when everything that can run here ran."""
    names = [*rows.BY_NAME, *(tool.name for tool in others.TOOLS)]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load_clients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=3, help="runs of each scenario of our own; default 3")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/ as well")
    options = parser.parse_args(arguments)
    limit, cores = raise_file_limit(), choose_cores()
    others.BUILD.mkdir(exist_ok=True)
    try:
        bench = Bench(build(others.BUILD), others.BUILD, cores)
    except MeterFailed as failure:
        parser.exit(1, f"the meter of the servers' comparison: {failure}\n")
    log = others.BUILD / "server.log"
    here, began = machine.look(limit), datetime.now(UTC).isoformat(timespec="seconds")
    sitting = Sitting(
        began=began,
        command=" ".join(
            ["python -m benchmarks.load_clients", *(arguments if arguments is not None else sys.argv[1:])]
        ),
        commit=machine.commit(),
        machine=here,
        rows=[
            rows.measure(scenario, bench, log, rounds=options.rounds, file_limit=limit)
            for scenario in rows.SCENARIOS
            if scenario.name in options.only
        ],
        records=[others.measure(tool, cores, log) for tool in others.TOOLS if tool.name in options.only],
    ).with_rest_of(RECORD)
    blocks: dict[str, str] = {}
    if sitting.rows:
        blocks |= {"load-client-bars": tables.bars_block(sitting), "load-client-rows": tables.rows_block(sitting)}
    if sitting.records:
        blocks["load-clients"] = tables.tools_block(sitting)
    print("\n\n".join(blocks.values()))
    RECORD.write_bytes(msgspec.json.format(msgspec.json.encode(sitting), indent=1) + b"\n")
    if options.docs:
        write_blocks(DOCUMENT, blocks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
