"""The meter against a server whose every delivery is known: a benchmark is worth what its meter is."""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
import trio

from benchmarks import meter
from benchmarks.meter import Reading
from tests.benchmarks.known_server import KnownServer, serving

BRIEF = {"clients": 8, "publishers": 2, "settle": 0.03, "warmup": 0.03, "seconds": 0.1, "drain": 10}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The meter, compiled from its source without a warning."""
    if meter.compiler() is None:
        message = f"needs {meter.NEEDS}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return meter.build(tmp_path_factory.mktemp("meter"))


async def read(program: Path, server: KnownServer, *, code: int = 0, **options: float) -> Reading:
    """What the meter says of this server."""
    async with serving(server) as port:
        flags = BRIEF | options | {"port": port, "nats": int(server.nats)}
        words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        with trio.fail_after(20):
            done = await trio.run_process([program, *words], capture_stdout=True, check=False)
    assert done.returncode == code
    return msgspec.json.decode(done.stdout, type=Reading)


async def test_every_delivery_is_counted(program: Path) -> None:
    """Publishes and deliveries in the reading are exactly the server's own count."""
    server = KnownServer()
    reading = await read(program, server, rooms=2, window=3)
    assert reading.total_published == server.published > 0
    assert reading.total_deliveries == reading.total_expected == server.delivered == 4 * server.published
    assert reading.opened == 8
    assert reading.undelivered == reading.lost == 0
    assert 0 < reading.latencies <= server.published
    assert server.sizes == {128}


async def test_what_the_server_keeps_back_is_missed(program: Path) -> None:
    """`undelivered` is the number of deliveries that never came."""
    server = KnownServer(drop_every=10)
    reading = await read(program, server, drain=0.2)
    assert reading.undelivered == server.dropped > 0


@pytest.mark.parametrize("chop", [1, 7])
async def test_frames_may_come_in_any_pieces(program: Path, chop: int) -> None:
    """A message counts once, wherever the bytes were cut, and a Ping among them is answered."""
    server = KnownServer(chop=chop, ping=True)
    reading = await read(program, server, rate=200)
    assert reading.total_deliveries == reading.total_expected == server.delivered > 0
    assert server.pongs == 8


async def test_latency_counts_from_the_due_time(program: Path) -> None:
    """Every delivery of the window is in the distribution, and one that was due 10 ms earlier is 10 ms later.

    A bucket is 1.6 % wide.
    """
    reading = await read(program, KnownServer(), rate=200)
    assert reading.latencies == 8 * round(reading.published_per_s * reading.seconds) > 0
    assert reading.p50_ms <= reading.p99_ms <= reading.max_ms
    late = await read(program, KnownServer(age_ns=10_000_000), rate=200)
    assert late.p50_ms >= 0.98 * 10


async def test_what_never_came_counts_as_late(program: Path) -> None:
    """A deaf client's share of the latencies is at least the time that was waited for it."""
    reading = await read(program, KnownServer(deaf=7), rate=200, drain=0.2)
    assert reading.latencies == round(reading.published_per_s * reading.seconds) * 8
    assert reading.undelivered == reading.total_published
    assert reading.p50_ms < reading.p99_ms
    assert reading.p99_ms >= 0.98 * 200


async def test_a_client_that_is_cut_off_is_lost(program: Path) -> None:
    """`lost` counts it, and what it should have got is undelivered."""
    server = KnownServer(cut_off=7)
    reading = await read(program, server, drain=0.2)
    assert reading.lost == 1
    assert reading.undelivered == reading.total_expected - server.delivered == reading.total_published - 1


async def test_a_client_that_is_refused_fails_the_run(program: Path) -> None:
    """Exit code 1, and the expectation is of those that came in."""
    reading = await read(program, KnownServer(refused=3), code=1)
    assert (reading.opened, reading.lost, reading.undelivered) == (7, 0, 0)


@pytest.mark.parametrize("chop", [1, 11])
async def test_nats_messages_ignore_frames(program: Path, chop: int) -> None:
    """Its protocol inside the frames is read whole, wherever frames and bytes are cut."""
    server = KnownServer(nats=True, chop=chop)
    reading = await read(program, server, rate=200)
    assert reading.opened == 8
    assert reading.total_deliveries == reading.total_expected == server.delivered > 0


async def test_prefilling_is_not_measured(program: Path) -> None:
    """Large messages come first and are all delivered; the window has only those of the right size and rate."""
    server = KnownServer()
    reading = await read(program, server, rate=100, prefill=100_000)
    assert server.sizes == {128, 16_384}
    assert reading.undelivered == 0
    assert reading.total_published >= round(reading.published_per_s * reading.seconds) + 100_000 // 16_384


def test_it_holds_at_each_phase(program: Path) -> None:
    """`start` comes before anything is opened, so it needs no server; nothing goes on by itself."""
    with meter.metering(program, {"hold": 1, "clients": 1, "open-seconds": 0}, core=0, within_s=20) as held:
        held.wait_for("start")
        held.pass_to("open")


def test_nonsense_is_refused(program: Path) -> None:
    """Exit code 2 and one line."""
    done = subprocess.run([program, "--clients", "0"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "meter: numbers make no sense\n")
