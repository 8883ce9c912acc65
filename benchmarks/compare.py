"""``python -m benchmarks.compare``: every server that is installed, side by side in one sitting."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import machine, results, scenarios, servers
from benchmarks.meter import MeterFailed, build
from benchmarks.process import choose_cores, raise_file_limit
from benchmarks.publish import publish_comparison
from benchmarks.results import Comparison, ScenarioRecord, ServerRecord
from benchmarks.run import Bench
from benchmarks.scenarios import Scenario
from benchmarks.servers import CannotBuild, Server
from benchmarks.sitting import jobs, measure_all
from benchmarks.tables import report

BUILD = Path(__file__).parent / ".build"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the record and its tables; 0 when every run succeeded, 1 when some failed, 2 bad usage."""
    options = _parser().parse_args(arguments)
    partial = bool(options.quick or options.only or options.scenario)
    signal.signal(signal.SIGTERM, end_politely)
    try:
        if options.docs and partial:
            raise LookupError("--docs wants all of it: leave away --quick, --only and --scenario")
        comparison = results.read(options.render) if options.render else _compare(options)
    except (LookupError, OSError, MeterFailed) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    tables = report(comparison)
    print(tables)
    if not options.render:
        path: Path = options.out / ("partial.json" if partial else "comparison.json")
        results.write(comparison, path)
        path.with_suffix(".md").write_text(tables)
        print(f"\n{path.with_suffix('.md')}\n{path}", file=sys.stderr)
    if options.docs:
        publish_comparison(comparison)
    return 1 if any(cell.failed for cell in comparison.cells) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="how often all of it is repeated; the median is reported (default: 3)")
    add("--quick", action="store_true", help="short runs, a fifth of the clients: shows only that everything works")
    add("--only", nargs="+", default=[], metavar="NAME", help=f"servers, of: {', '.join(servers.BY_NAME)}")
    add(
        "--scenario",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"of: {', '.join(scenarios.BY_NAME)}; or growth, stalled",
    )
    add("--budget", type=float, default=1200.0, metavar="SECONDS", help="start nothing after this time (1200)")
    add("--out", type=Path, default=results.DIRECTORY, metavar="DIR", help="where the record goes (benchmarks/results)")
    add("--docs", action="store_true", help="write the tables and the plot into docs/ as well")
    add("--render", type=Path, metavar="FILE", help="measure nothing, show the tables of this record")
    return parser


def end_politely(_signal: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM leaves by way of every ``finally``, so that no process is left behind."""
    sys.exit(143)


def _compare(options: argparse.Namespace) -> Comparison:
    """Raises LookupError for an unknown name, `MeterFailed` without a meter."""
    began, clock = datetime.now(UTC), time.monotonic()
    wanted, chosen = _wanted(options.only), scenarios.chosen(options.scenario)  # A wrong name before any work.
    limit = raise_file_limit()
    here, commit, cores = machine.look(limit), machine.commit(), choose_cores()
    bench = Bench(build(BUILD), BUILD, cores)
    servers_here, server_records = _prepare(wanted)
    scenarios_here, scenario_records = _fit(chosen, limit, quick=options.quick)
    planned = jobs(scenarios_here, servers_here, options.rounds)
    cells = measure_all(planned, bench, budget_s=options.budget - (time.monotonic() - clock))
    return Comparison(
        began=began.isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - clock, 1),
        command=" ".join(["python -m benchmarks.compare", *sys.argv[1:]]),
        commit=commit,
        quick=options.quick,
        rounds=options.rounds,
        one_core=cores.shared,
        machine=here,
        servers=server_records,
        scenarios=scenario_records,
        cells=cells,
    )


def _wanted(names: Sequence[str]) -> list[Server]:
    for name in names:
        if name not in servers.BY_NAME:
            raise LookupError(f"no server {name!r}; there are {', '.join(servers.BY_NAME)}")
    return [server for server in servers.SERVERS if server.name in names or not names]


def _prepare(wanted: Sequence[Server]) -> tuple[list[Server], list[ServerRecord]]:
    """Those that can be started, and a record of all."""
    usable: list[Server] = []
    records: list[ServerRecord] = []
    for server in wanted:
        skipped = server.needs()
        if skipped is None:
            try:
                server.prepare(BUILD)
                usable.append(server)
            except CannotBuild as error:
                skipped = f"does not build: {error}"
        version = "" if skipped else server.version()
        records.append(ServerRecord(name=server.name, title=server.title, version=version, skipped=skipped))
        if skipped:
            print(f"skipped {server.name}: {skipped}", file=sys.stderr)
    return usable, records


def _fit(wanted: Sequence[Scenario], limit: int, *, quick: bool) -> tuple[list[Scenario], list[ScenarioRecord]]:
    """Those that this machine's file limit allows, and a record of all."""
    usable: list[Scenario] = []
    records: list[ScenarioRecord] = []
    for scenario in wanted:
        fitted = (scenario.quick() if quick else scenario).fitted(limit)
        skipped = fitted if isinstance(fitted, str) else None
        shown = scenario if isinstance(fitted, str) else fitted
        if skipped:
            print(f"skipped {scenario.name}: {skipped}", file=sys.stderr)
        else:
            usable.append(shown)
        records.append(
            ScenarioRecord(
                name=shown.name,
                title=shown.title,
                unit=shown.unit,
                better=shown.better,
                clients=shown.clients,
                options=dict(shown.options),
                skipped=skipped,
            )
        )
    return usable, records


if __name__ == "__main__":
    sys.exit(main())
