"""The tables that a sitting becomes."""

from __future__ import annotations

from benchmarks.load_clients.figures import Figures, Row, Sitting
from benchmarks.load_clients.others import IDLE_MEMBERS, MEMBERS
from benchmarks.load_clients.rows import BARS, BY_NAME, middle
from benchmarks.tables import number, table


def bars_block(sitting: Sitting) -> str:
    """What had to be reached."""
    rows = []
    found = {row.name: row for row in sitting.rows}
    for bar in BARS:
        needed = f"{'≥' if bar.better == 'more' else '≤'} {bar.needed:g} {bar.unit}".rstrip()
        row = found.get(bar.scenario)
        if row is None:
            rows.append([BY_NAME[bar.scenario].title, bar.what, needed, "–", "not measured"])
            continue
        value = middle(row, bar.figure)
        met = value >= bar.needed if bar.better == "more" else value <= bar.needed
        found_there = [bar.figure(run) for run in row.runs]
        spread = f" ({number(min(found_there))} – {number(max(found_there))})" if len(found_there) > 1 else ""
        reached = f"{number(value)}{spread} {bar.unit}".rstrip()
        lost = sum(run.wrong + run.lost for run in row.runs)
        verdict = f"not met: {lost:,} deliveries or clients lost" if lost else "met" if met else "not met"
        rows.append([row.title, bar.what, needed, reached, verdict])
    return table(["scenario", "figure", "needed", "reached", ""], rows, texts=2)


def rows_block(sitting: Sitting) -> str:
    """Every scenario in full."""
    head = ["", "k deliveries/s", "CPU per delivery, µs", "range", "the server's", "core busy", "the server's"]
    head += ["in the comparison: k deliveries/s", "the server's CPU, µs", "loop lag p99, ms", "wrong", "runs"]
    measured = (
        f"Measured {sitting.began[:10]} at commit `{sitting.commit}` by `{sitting.command}`, messages of 128 bytes."
    )
    return f"{table(head, [_line(row) for row in sitting.rows])}\n\n{measured}"


def _line(row: Row) -> list[str]:
    costs = [run.cpu_us for run in row.runs]

    def of(figure: str) -> float:
        return middle(row, lambda run: float(getattr(run, figure) or 0))

    return [
        row.title,
        number(of("per_s") / 1000),
        number(of("cpu_us")),
        f"{number(min(costs))} – {number(max(costs))}" if len(costs) > 1 else "one run",
        number(of("server_cpu_us")),
        f"{of('busy'):.0%}",
        f"{middle(row, _server_busy):.0%}",
        number(of("compared_per_s") / 1000) if of("compared_per_s") else "",
        number(of("compared_cpu_us")) if of("compared_cpu_us") else "",
        number(of("loop_lag_p99_ms")),
        str(sum(run.wrong + run.lost for run in row.runs)),
        str(len(row.runs)),
    ]


def _server_busy(run: Figures) -> float:
    return run.server_cpu_s / run.seconds


def tools_block(sitting: Sitting) -> str:
    """Beside what people use instead, and what it was measured on."""
    rows = []
    for record in sitting.records:
        best = record.best
        if best is None:
            rows.append(
                [record.title, f"not measured: {record.skipped or 'lost connections at every rate'}", *[""] * 4]
            )
            continue
        idle = record.idle or record.loaded[min(record.loaded)]
        rows.append(
            [
                record.title,
                record.knows,
                number(best.per_s / 1000),
                number(best.cpu_us),
                f"{best.busy:.0%}",
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
