"""A record as Markdown. Each function makes one block; the docs and the report are put together from the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.bars import OURS, judge
from benchmarks.results import Comparison, ScenarioRecord, Summary
from benchmarks.scenarios import cpu_us_per_connection, cpu_us_per_delivery, kb_per_connection

Column = tuple[str, Callable[[Summary], str]]
OVERVIEW = ("fan-out", "many-publishers", "latency", "rooms", "wide", "connect", "idle")
_LOST_MARK = "†"


def number(value: float) -> str:
    """Three significant digits at most, as far as a reader can use them."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 or not value else f"{value:.3f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    """A Markdown table; the first `texts` columns are text, the others are figures."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def headline(record: Comparison, scenario: str, summary: Summary) -> str:
    """The figure with its marks: ``≥`` where the meter was the limit or what never came is in it, † for losses."""
    more = _of(record, scenario).better == "more"
    bound = summary.meter_limited if more else bool(summary.undelivered)
    lost = summary.lost or summary.undelivered
    return ("≥ " if bound else "") + number(summary.value) + (f" {_LOST_MARK}" if lost else "")


def overview_block(record: Comparison) -> str:
    """Every server, every scenario, one figure."""
    shown = [name for name in OVERVIEW if any(s.name == name and not s.skipped for s in record.scenarios)]
    rows = []
    for server in record.servers:
        cells = [(name, record.of(name, server.name)) for name in shown]
        if any(summary for _, summary in cells):
            rows.append([server.title, *(headline(record, name, s) if s else "–" for name, s in cells)])
    head = ["", *(f"{_of(record, name).title}: {_of(record, name).unit}" for name in shown)]
    notes = (
        f"{_LOST_MARK} clients were cut or messages did not arrive within the time that was waited for them. ≥: the "
        "meter was busier than 90 % and may have been the limit; for latencies: what never arrived is counted with the "
        "time that was waited."
    )
    return f"{table(head, rows)}\n\n{notes}"


def bars_block(record: Comparison) -> str:
    """What had to be reached."""
    rows = [
        [_of(record, bar.scenario).title, bar.what, bar.needed, bar.reached, _verdict(bar.verdict)]
        for bar in judge(record)
    ]
    return table(["scenario", "figure", "needed", "reached", ""], rows, texts=2)


def scenario_block(record: Comparison, name: str) -> str:
    """One scenario in full."""
    scenario = _of(record, name)
    if scenario.skipped:
        return f"Not measured here: {scenario.skipped}."
    columns: list[Column] = [
        (scenario.unit, lambda s: headline(record, name, s)),
        ("range", lambda s: f"{number(s.low)} – {number(s.high)}" if len(s.values) > 1 else "one round"),
        *_COLUMNS[name],
    ]
    rows = []
    for server in record.servers:
        summary = record.of(name, server.name)
        if summary is not None:
            rows.append([server.title, *(show(summary) for _, show in columns)])
        elif failure := record.failure(name, server.name):
            rows.append([server.title, failure.strip().rpartition("\n")[2][:80], *[""] * (len(columns) - 1)])
    return table(["", *(head for head, _ in columns)], rows)


def growth_block(record: Comparison) -> str:
    """Scale-Chat alone, more and more clients in one room."""
    rows, skipped = [], []
    for scenario in record.scenarios:
        if not scenario.name.startswith("growth-"):
            continue
        summary = record.of(scenario.name, OURS)
        if summary is None:
            why = scenario.skipped or record.failure(scenario.name, OURS) or "out of time"
            skipped.append(f"Not measured here: {scenario.title} ({why}).")
            continue
        rows.append(
            [
                f"{int(summary.median_of('clients')):,}",
                *(show(summary) for _, show in _CONNECTION_COLUMNS),
                number(summary.median_of("p50_ms")),
                number(summary.value),
                f"{summary.median_of('server_cpu_s') / summary.median_of('seconds'):.1%}",
                str(summary.lost + summary.unopened + summary.undelivered),
            ]
        )
    columns = ["clients", *(name for name, _ in _CONNECTION_COLUMNS), "p50 ms", "p99 ms", "CPU", "lost"]
    return "\n\n".join([table(columns, rows), "One round each.", *skipped])


def stalled_block(record: Comparison) -> str:
    """The others, while one of them does not read."""
    rows = []
    for name in ("stalled-none", "stalled-one"):
        summary = record.of(name, OURS)
        if summary is not None:
            rows.append(
                [
                    _of(record, name).title,
                    number(summary.median_of("published_per_s")),
                    number(summary.median_of("p50_ms")),
                    number(summary.value),
                    f"{number(summary.low)} – {number(summary.high)}",
                    f"{summary.median_of('server_cpu_s') / summary.median_of('seconds'):.0%}",
                    f"{summary.median_of('meter_cpu_ratio'):.0%}",
                    f"{summary.evictions:.0f}",
                    f"{summary.undelivered:,}",
                ]
            )
    head = [
        "",
        "messages/s",
        "p50 ms",
        "p99 ms",
        "range",
        "server busy",
        "meter busy",
        "cut as too slow",
        "undelivered to the others",
    ]
    return table(head, rows)


def strategies_block(record: Comparison) -> str:
    """What each of the moves is worth."""
    rows = []
    for name in (f"{OURS}-per-client", f"{OURS}-encode-once", OURS):
        row = [next((s.title for s in record.servers if s.name == name), name)]
        for scenario in ("fan-out", "many-publishers"):
            summary, plain = record.of(scenario, name), record.of(scenario, f"{OURS}-per-client")
            if summary is None or plain is None:
                row += ["–", "–"]
                continue
            row += [headline(record, scenario, summary), f"{summary.value / plain.value:.1f} ×"]
        rows.append(row)
    return table(["", "4 × 4 in flight: k deliveries/s", "", "200 × 1 in flight: k deliveries/s", ""], rows)


def machine_block(record: Comparison) -> str:
    """Where, when, with what."""
    here = record.machine
    guest = ", a guest on a shared machine" if here.hypervisor else ""
    versions = "; ".join(f"{server.title}: {server.version}" for server in record.servers if not server.skipped)
    measured = (
        f"Measured {record.began[:10]} at commit `{record.commit}` by `{record.command}`: {record.rounds} rounds, "
        f"{record.took_s / 60:.0f} minutes."
    )
    machine = (
        f"Machine: {here.cpu}, {here.cores} cores, {here.memory_gb:g} GB{guest}; Linux {here.kernel}, {here.system}; "
        f"{here.python}; at most {here.file_limit:,} open files in a process; load average before it began "
        f"{here.load_before:.2f}."
    )
    lines = [measured, machine, f"Versions: {versions}."]
    if record.one_core:
        lines.append("**Server and meter shared one core: these figures compare with nothing.**")
    if record.quick:
        lines.append("**A quick run: it shows that everything works, and nothing else.**")
    lines += [f"Left out: {s.title} (`{s.skipped}`)." for s in record.servers if s.skipped]
    return "\n\n".join(lines)


def report(record: Comparison) -> str:
    """Everything, as one page."""
    parts = ["# Scale-Chat beside other broadcast servers", machine_block(record)]
    if any(s.name in OVERVIEW for s in record.scenarios):
        parts.append(overview_block(record))
    if not record.quick and any(bar.verdict != "not measured" for bar in judge(record)):
        parts += ["## What had to be reached", bars_block(record)]
    for name in OVERVIEW:
        if any(s.name == name for s in record.scenarios):
            parts += [f"## {_of(record, name).title}", scenario_block(record, name)]
    names = {s.name.partition("-")[0] for s in record.scenarios}
    if "growth" in names:
        parts += ["## One room grows", growth_block(record)]
    if "stalled" in names:
        parts += ["## One reader stops", stalled_block(record)]
    if record.of("fan-out", f"{OURS}-per-client"):
        parts += ["## The three strategies", strategies_block(record)]
    return "\n\n".join(parts) + "\n"


def _of_readings(figure: Callable[..., float]) -> Callable[[Summary], str]:
    return lambda summary: number(median(figure(reading) for reading in summary.readings))


def _reading(figure: str) -> Callable[[Summary], str]:
    return lambda summary: number(summary.median_of(figure))


def _per_publish(summary: Summary) -> str:
    return number(median(r.server_cpu_s * 1e6 / max(1, r.published_per_s * r.seconds) for r in summary.readings))


def _loop_lag(summary: Summary) -> str:
    lag_ms = summary.loop_lag_p99_ms
    return "" if lag_ms is None else number(lag_ms)


_METER: Column = ("meter busy", lambda s: f"{s.median_of('meter_cpu_ratio'):.0%}")
_LATE: Column = ("meter late at most, ms", lambda s: number(s.median_of("late_ms")))
_OPENING_METER: Column = ("meter busy", lambda s: f"{s.median_of('open_meter_cpu_ratio'):.0%}")
_CPU: Column = ("server CPU per delivery, µs", _of_readings(cpu_us_per_delivery))
_LOSSES: tuple[Column, ...] = (
    ("clients lost", lambda s: f"{s.lost:,}"),
    ("undelivered", lambda s: f"{s.undelivered:,}"),
)
_CONNECTION_COLUMNS: tuple[Column, ...] = (
    ("connections/s", _of_readings(lambda r: r.opened / r.connect_s)),
    ("CPU per connection, µs", _of_readings(cpu_us_per_connection)),
    ("memory per connection, kB", _of_readings(kb_per_connection)),
)
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "fan-out": (_CPU, _METER, *_LOSSES),
    "many-publishers": (_CPU, _METER, *_LOSSES),
    "latency": (("p50 ms", _reading("p50_ms")), _CPU, _METER, _LATE, *_LOSSES),
    "rooms": (("server CPU per publish, µs", _per_publish), _METER, *_LOSSES),
    "wide": (("p50 ms", _reading("p50_ms")), ("own loop lag p99, ms", _loop_lag), _CPU, _METER, _LATE, *_LOSSES),
    "connect": (_CONNECTION_COLUMNS[0], _CONNECTION_COLUMNS[2], _OPENING_METER),
    "idle": (("connections", _reading("opened")), *_CONNECTION_COLUMNS[:2], _OPENING_METER),
}


def _of(record: Comparison, name: str) -> ScenarioRecord:
    return next(s for s in record.scenarios if s.name == name)


def _verdict(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "not met" else verdict
