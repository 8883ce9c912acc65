"""A record says what was measured: it survives its file, and is judged, tabled and drawn as it reads."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import results, scenarios, servers
from benchmarks.bars import BARS, judge
from benchmarks.machine import Machine
from benchmarks.meter import Reading
from benchmarks.plot import finding, write_plot
from benchmarks.publish import DOCUMENT, PLOT, UnknownBlock, blocks_of, write_blocks
from benchmarks.results import Cell, Comparison, ScenarioRecord, ServerRecord, quantile_ms
from benchmarks.tables import report, scenario_block

PERFECT = Reading(
    clients=1_000,
    opened=1_000,
    lost=0,
    connect_s=0.1,
    open_server_cpu_s=0.1,
    open_meter_cpu_ratio=0.2,
    rss_before_kb=50_000,
    rss_after_kb=60_000,
    seconds=2.0,
    published_per_s=1_000.0,
    deliveries=2_000_000,
    deliveries_per_s=1_000_000.0,
    bytes_in_per_s=1e8,
    p50_ms=1.0,
    p99_ms=2.0,
    max_ms=3.0,
    latencies=2_000_000,
    late_ms=0.1,
    meter_cpu_ratio=0.5,
    server_cpu_s=2.0,
    total_published=3_000,
    total_expected=3_000_000,
    total_deliveries=3_000_000,
)


def record_of(*cells: Cell) -> Comparison:
    """A record with these cells and every scenario and server there is."""
    return Comparison(
        began="2026-01-01T00:00:00+00:00",
        took_s=600.0,
        command="python -m benchmarks.compare",
        commit="abc",
        quick=False,
        rounds=3,
        one_core=False,
        machine=Machine(
            cpu="a CPU",
            cores=2,
            memory_gb=4.0,
            hypervisor=True,
            kernel="6",
            system="Linux",
            python="CPython 3",
            compiler="cc",
            file_limit=1_024,
            load_before=0.0,
        ),
        servers=[ServerRecord(name=s.name, title=s.title, version="1") for s in servers.SERVERS],
        scenarios=[
            ScenarioRecord(name=s.name, title=s.title, unit=s.unit, better=s.better, clients=s.clients, options={})
            for s in scenarios.SCENARIOS
        ],
        cells=list(cells),
    )


def cell(scenario: str, server: str, value: float, number: int = 1, **changes: float) -> Cell:
    """One round; `changes` are to the reading."""
    reading = msgspec.structs.replace(PERFECT, **changes)
    return Cell(scenario=scenario, server=server, round=number, value=value, reading=reading)


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    """What is read is what was written, failures and skips too."""
    record = record_of(
        cell("fan-out", "gorilla", 1.5), Cell(scenario="wide", server="nats", round=1, failed="ended\nwith 1")
    )
    results.write(record, tmp_path / "record.json")
    assert results.read(tmp_path / "record.json") == record
    results.write(record_of(), tmp_path / "empty.json")
    assert results.read(tmp_path / "empty.json") == record_of()


def test_the_median_of_the_rounds_is_the_figure() -> None:
    """Range and losses are of all rounds."""
    record = record_of(*(cell("fan-out", "nats", value, n, lost=n) for n, value in enumerate((5.0, 1.0, 2.0))))
    summary = record.of("fan-out", "nats")
    assert summary is not None
    assert (summary.value, summary.low, summary.high, summary.lost) == (2.0, 1.0, 5.0, 2)


@pytest.mark.parametrize("ours, theirs, verdict", [(50.0, 10.0, "met"), (49.9, 10.0, "not met")])
def test_a_bar_is_a_ratio_within_one_record(ours: float, theirs: float, verdict: str) -> None:
    """Five times the Go hub is met at five times, not just below."""
    record = record_of(cell("fan-out", "scalechat", ours), cell("fan-out", "gorilla", theirs))
    assert next(bar.verdict for bar in judge(record) if "gorilla" in bar.what) == verdict
    assert judge(record)[1].verdict == "not measured"


def test_one_lost_message_misses_the_bar_of_none() -> None:
    """Losses are counted over clients that left, never came, and messages that did not arrive."""
    for changes in ({"lost": 1}, {"opened": 999}, {"total_deliveries": 2_999_999}):
        (judged,) = (
            bar
            for bar in judge(record_of(cell("many-publishers", "scalechat", 1.0, **changes)))
            if (bar.scenario, bar.what) == ("many-publishers", "clients or messages lost")
        )
        assert judged.verdict == "not met"


def test_every_bar_names_a_scenario_and_a_peer_that_exist() -> None:
    """So that a renamed scenario cannot silently end a bar."""
    judged = judge(record_of())
    assert len(judged) == len(BARS)
    assert {bar.scenario for bar in judged} <= set(scenarios.BY_NAME)


def test_a_busy_meter_makes_a_lower_bound() -> None:
    """``≥`` for throughput when the meter was the limit, † when anything was lost."""
    record = record_of(
        cell("fan-out", "scalechat", 2_000.0, meter_cpu_ratio=0.95), cell("fan-out", "gorilla", 300.0, lost=3)
    )
    table = scenario_block(record, "fan-out")
    assert "| ≥ 2,000 |" in table
    assert "| 300 † |" in table


@given(st.lists(st.sampled_from([0.0005, 0.001, 0.0025, 0.004, 0.02]), min_size=1), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_its_sample(samples: list[float], share: float) -> None:
    """Interpolation never leaves the bucket that holds the sample."""
    bounds = [0.001, 0.0025, 0.005, 0.01, 0.05, float("inf")]
    cumulative = {bound: float(sum(s <= bound for s in samples)) for bound in bounds}
    found = quantile_ms(share, cumulative)
    assert found is not None
    rank = next(s for i, s in enumerate(sorted(samples), 1) if i >= share * len(samples) - 1e-9)
    upper = next(bound for bound in bounds if rank <= bound)
    lower = max((bound for bound in bounds if bound < rank), default=0.0)
    assert lower * 1000 - 1e-6 <= found <= upper * 1000 + 1e-6


def test_no_samples_have_no_quantile() -> None:
    """Nothing is not zero."""
    assert quantile_ms(0.99, {}) is None
    assert quantile_ms(0.99, {0.1: 0.0, float("inf"): 0.0}) is None


def test_a_report_is_made_of_whatever_was_measured() -> None:
    """Every scenario alone, and none, gives a page."""
    assert "Scale-Chat" in report(record_of())
    for scenario in scenarios.SCENARIOS:
        assert "7.77" in report(record_of(cell(scenario.name, "scalechat", 7.77)))


def test_the_document_has_a_place_for_every_block(tmp_path: Path) -> None:
    """And writing them is all that changes; the plot is there under the name that the document gives it."""
    copy = tmp_path / "performance.md"
    copy.write_text(DOCUMENT.read_text())
    blocks = blocks_of(record_of(cell("fan-out", "scalechat", 7.77)))
    write_blocks(copy, blocks)
    written = copy.read_text()
    assert all(block in written for block in blocks.values())
    write_blocks(copy, blocks)
    assert copy.read_text() == written
    assert f"images/{PLOT.name}" in written


def test_a_block_without_a_place_changes_nothing(tmp_path: Path) -> None:
    """The document keeps every byte."""
    document = tmp_path / "page.md"
    document.write_text("<!-- benchmark:a -->\nold\n<!-- /benchmark:a -->\n")
    with pytest.raises(UnknownBlock):
        write_blocks(document, {"a": "new", "b": "new"})
    assert "old" in document.read_text()
    write_blocks(document, {"a": "new"})
    assert document.read_text() == "<!-- benchmark:a -->\nnew\n<!-- /benchmark:a -->\n"


def test_the_plot_says_what_it_shows(tmp_path: Path) -> None:
    """Its title is the finding; equal records make equal files."""
    record = record_of(
        cell("fan-out", "scalechat", 2_000.0), cell("fan-out", "gorilla", 400.0), cell("fan-out", "nats", 900.0, lost=1)
    )
    assert finding(record) == "One core of Scale-Chat delivers 5.0 \N{MULTIPLICATION SIGN} the Go hub"
    for name in ("a.svg", "b.svg"):
        write_plot(record, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
