"""A whole search: real probes against a server of known capacity, its directory, its lines, and what may go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from scalechat.config import CapacityConfig, LoadConfig, OperationalError, UsageError
from scalechat.load.capacity.quantity import Quantity
from scalechat.load.results import SearchRow, read_run
from scalechat.load.runner import Interruption
from tests.load.broadcaster import Broadcaster
from tests.load.lies import Lies
from tests.load.worlds import Memory, MemoryConnector

from .worlds import Saturating, virtual_search


async def test_a_search_finds_what_the_server_holds_and_writes_it_down(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """The bracket around the truth, a row and a run for every probe, and lines that say what is tried and why."""
    watcher = Memory()
    found = await virtual_search(Saturating(13), tmp_path, clients=4, watcher=watcher, sources={"clients": "flag"})
    assert (found.exit_code, found.text) == (0, "13 clients held, 14 did not")
    run = read_run(found.search_dir)
    assert run.is_search
    assert run.manifest is not None
    assert run.summary is not None
    assert run.manifest.search is not None
    assert (run.manifest.search.held, run.manifest.search.failed) == (13, 14)
    assert run.manifest.config["clients"].source == "flag"
    assert run.summary.figures["capacity"].value == 13
    rows = list(run.rows(SearchRow))
    assert [(row.step, row.value, row.outcome) for row in rows] == [
        ("first", 4, "held"),
        ("double", 8, "held"),
        ("double", 16, "failed"),
        ("bisect", 12, "held"),
        ("bisect", 14, "failed"),
        ("bisect", 13, "held"),
        ("confirm", 14, "failed"),
        ("confirm", 13, "held"),
    ]
    assert all((found.search_dir / "probes" / (row.run_id or "") / "run.json").is_file() for row in rows)
    manifests = [read_run(found.search_dir / "probes" / str(row.run_id)).manifest for row in rows]
    assert run.manifest.ledger.expected == sum(manifest.ledger.expected for manifest in manifests if manifest)
    notes = [note.strip() for note in watcher.notes]
    assert notes[4] == "probe 3: trying 16 clients (double)"
    assert notes[5].startswith("✗ 16 clients failed: p99(delivery) < 200ms: ")
    assert "probe 5: trying 14 clients (bisect, bracket 12 to 16)" in notes


@pytest.mark.parametrize(
    "vary, most, answer, clients, offered_per_s",
    [
        ("rate", 500.0, "at least 500 messages/s: that is --max", 6, 500),
        ("rooms", 5.0, "at least 5 rooms: that is --max", 15, 15 * 25),
    ],
)
async def test_rate_and_rooms_are_varied_as_well(
    vary: str,
    most: float,
    answer: str,
    clients: int,
    offered_per_s: float,
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    """A rate is the sum over the publishers; rooms stay as large as they were."""
    found = await virtual_search(Broadcaster(), tmp_path, clients=6, rooms=2, vary=vary, max_value=most)
    assert (found.exit_code, found.text) == (0, answer)
    last = list(read_run(found.search_dir).rows(SearchRow))[-1]
    assert last.clients == clients
    assert last.offered_per_s == pytest.approx(offered_per_s, rel=0.05)


@pytest.mark.parametrize("clients, rooms, processes, lowest", [(6, 3, 3, 2), (9, 3, 3, 1), (5, 4, 3, 3), (4, 4, 1, 1)])
def test_fewer_rooms_leave_no_process_without_a_client(clients: int, rooms: int, processes: int, lowest: int) -> None:
    """The search goes down to the fewest rooms whose clients are enough for the processes."""
    config = CapacityConfig(vary="rooms", clients=clients, rooms=rooms, processes=processes)
    quantity = Quantity.of(config)
    assert quantity.aim().lowest == lowest
    assert quantity.at(lowest, Path("runs")).clients >= processes


async def test_a_server_that_never_holds_is_said_so(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Down to one client, and the exit code of an objective that was missed."""
    found = await virtual_search(Saturating(0), tmp_path, clients=2, resolution=0.5, msg_frequency_ms=2.0)
    assert (found.exit_code, found.text) == (99, "not even 1 clients held")


async def test_a_flaky_moment_is_not_the_servers_capacity(autojump_clock: MockClock, tmp_path: Path) -> None:
    """A stall in the first window of one probe makes it unsteady; it is tried again and holds."""
    server = Broadcaster(lies=Lies(stalls=[(1.6, 2.2)]))
    found = await virtual_search(server, tmp_path, clients=5, max_value=5.0, duration_s=6.0)
    assert found.text == "at least 5 clients: that is --max"
    rows = list(read_run(found.search_dir).rows(SearchRow))
    assert [(row.step, row.outcome) for row in rows] == [("first", "unsteady"), ("repeat", "held"), ("confirm", "held")]
    assert rows[0].reason is not None
    assert rows[0].reason.endswith("but only in 1 of 3 windows")


async def test_an_interrupted_search_keeps_what_it_has_measured(autojump_clock: MockClock, tmp_path: Path) -> None:
    """The probe under way ends, its run is written, and the answer says how far it got."""

    async def interrupt(_connector: MemoryConnector, interruption: Interruption) -> None:
        await trio.sleep(12)
        interruption.request()

    found = await virtual_search(Broadcaster(), tmp_path, clients=4, meanwhile=interrupt)
    assert found.exit_code == 105
    assert found.text == "unfinished: 8 clients held (not confirmed)"
    run = read_run(found.search_dir)
    assert run.manifest is not None
    assert (run.manifest.verdict, run.manifest.interrupted, run.manifest.exit_code) == ("interrupted", True, 105)
    assert len(list(run.rows(SearchRow))) == 2
    assert len(list((found.search_dir / "probes").iterdir())) == 3


async def test_a_search_interrupted_in_its_first_probe_says_where_that_is(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """There is no answer, and what was measured is a run like any other."""

    async def interrupt(_connector: MemoryConnector, interruption: Interruption) -> None:
        await trio.sleep(3)
        interruption.request()

    with pytest.raises(OperationalError, match="interrupted in the first probe: there is no answer") as ended:
        await virtual_search(Broadcaster(), tmp_path, clients=4, meanwhile=interrupt)
    assert ended.value.exit_code == 105
    assert read_run(Path(str(ended.value).rpartition(" ")[2])).finished


async def test_between_probes_the_search_waits_until_the_server_is_calm(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Greetings that take much longer than at first mean that it is not."""
    greetings: list[float] = []

    async def greet() -> None:
        greetings.append(trio.current_time())
        await trio.sleep(1.0 if 4 <= len(greetings) < 7 else 0.05)

    await virtual_search(Broadcaster(), tmp_path, clients=4, max_value=8.0, greet=greet)
    # Three to learn; after the first probe three slow ones and three that are not; after the second three.
    assert len(greetings) == 3 + 6 + 3
    assert greetings[6] - greetings[3] == pytest.approx(3.6)


async def test_a_server_that_does_not_come_back_ends_the_search(autojump_clock: MockClock, tmp_path: Path) -> None:
    """What was measured before is written, with the reason."""
    greetings = 0

    async def greet() -> None:
        nonlocal greetings
        greetings += 1
        if greetings > 3:
            raise OperationalError("cannot connect (connection refused)")

    found = await virtual_search(Broadcaster(), tmp_path, clients=4, greet=greet)
    assert found.exit_code == 98
    run = read_run(found.search_dir)
    assert run.manifest is not None
    assert run.manifest.validity.reasons[0].text.startswith("the server did not come back")
    assert len(list(run.rows(SearchRow))) == 1


async def test_what_this_machine_cannot_generate_makes_the_answer_at_least(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Open files for ten clients: what was measured with fewer is kept, and the server is not blamed."""

    def before(config: LoadConfig) -> None:
        if config.clients > 10:
            raise UsageError(f"{config.clients} clients need more open files")

    found = await virtual_search(Broadcaster(), tmp_path, clients=4, before=before, resolution=0.2)
    assert (found.exit_code, found.text) == (
        97,
        "at least 10 clients, generator-limited: at 12 the load client was the limit",
    )
    rows = list(read_run(found.search_dir).rows(SearchRow))
    assert (rows[2].value, rows[2].outcome, rows[2].reason) == (16, "generator", "16 clients need more open files")


async def test_a_disk_that_is_full_is_not_the_servers_failure(autojump_clock: MockClock, tmp_path: Path) -> None:
    """The search ends there, with the reason, and with what it knows."""

    def before(config: LoadConfig) -> None:
        if config.clients > 4:
            raise OperationalError("cannot write the run: No space left on device")

    found = await virtual_search(Broadcaster(), tmp_path, clients=4, before=before)
    assert (found.exit_code, found.text) == (98, "unfinished: 4 clients held (not confirmed)")
    assert found.summary.validity.reasons[0].text == "cannot write the run: No space left on device"
    assert len(list(read_run(found.search_dir).rows(SearchRow))) == 1


async def test_no_server_at_all_is_one_line_and_no_directory(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Nothing is written for it."""

    async def greet() -> None:
        raise OperationalError("cannot connect (connection refused)")

    with pytest.raises(OperationalError, match="connection refused"):
        await virtual_search(Broadcaster(), tmp_path / "runs", greet=greet)
    assert not (tmp_path / "runs").exists()
