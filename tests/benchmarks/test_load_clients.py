"""The table of load clients says what was measured, and why what is missing is missing."""

import msgspec

from benchmarks.load_clients.figures import Figures, Record, Row, Sitting
from benchmarks.load_clients.rows import BARS
from benchmarks.load_clients.tables import bars_block, tools_block
from benchmarks.machine import look


def figures(deliveries: int, *, lost: int = 0) -> Figures:
    return Figures(
        clients=100,
        deliveries=deliveries,
        seconds=2,
        cpu_s=1,
        rss_before_kb=1000,
        rss_open_kb=2500,
        lost=lost,
    )


def record(name: str, **fields: object) -> Record:
    return msgspec.convert({"name": name, "title": name, "version": "1", "knows": "a count"} | fields, Record)


def test_a_run_that_lost_connections_is_nobodys_best() -> None:
    """Whoever gives up members gets the others' messages faster."""
    tried = {10.0: figures(1000), 20.0: figures(2000), 40.0: figures(9000, lost=1)}
    best = msgspec.structs.replace(record("x"), loaded=tried).best
    assert best is not None
    assert (best.deliveries, best.per_s, best.cpu_us) == (2000, 1000, 500)


def test_the_table_has_a_line_for_each_and_the_reason_for_what_is_missing() -> None:
    """Memory is that of many idle clients."""
    ours = msgspec.structs.replace(record("ours"), loaded={1.0: figures(4_000_000)}, idle=figures(1))
    gone = record("other", skipped="needs npm")
    sitting = Sitting(began="2026-01-01", command="c", commit="f", machine=look(10), records=[ours, gone])
    lines = tools_block(sitting).splitlines()
    assert lines[2] == "| ours | a count | 2,000 | 0.25 | 50% | 15.0 |"
    assert lines[3].startswith("| other | not measured: needs npm |")


def test_a_bar_is_met_only_by_runs_in_which_nothing_was_wrong() -> None:
    """A client that loses deliveries is cheap."""
    bar = next(bar for bar in BARS if bar.scenario == "equal")
    row = Row(name=bar.scenario, title="equal", commit="f", runs=[figures(4_000_000)])
    sitting = Sitting(began="2026-01-01", command="c", commit="f", machine=look(10), records=[], rows=[row])
    line = f"| equal | {bar.what} | ≥ 1000 k | 2,000 k | "
    assert line + "met |" in bars_block(sitting)
    row.runs[0] = msgspec.structs.replace(row.runs[0], wrong=1)
    assert line + "not met: 1 deliveries or clients lost |" in bars_block(sitting)
