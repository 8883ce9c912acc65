"""The demo: one command, a real server and load, a report, and nothing left behind but the run."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import OperationalError
from scalechat.demo import follow_log, server_process
from tests.conftest import clean_environ, eventually

LOG = b'not json\n{"event": "file_limit"}\n{"event": "listening", "url": "http://127.0.0.1:4711"}\n{"event": "more"}\n'


def is_open(url: str) -> bool:
    parts = urlsplit(url)
    with closing(socket.socket()) as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 0)) == 0


# ---- the server's log --------------------------------------------------------------------------


@given(cuts=st.sets(st.integers(1, len(LOG) - 1), max_size=8))
def test_the_url_is_found_wherever_the_log_is_cut(cuts: set[int]) -> None:
    """A pipe knows no lines: the URL comes out whole from any chunks, and the rest is read to its end."""
    edges = [0, *sorted(cuts), len(LOG)]

    async def scenario() -> None:
        theirs, ours = trio.testing.memory_stream_one_way_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_in_pieces, theirs)
            assert await nursery.start(follow_log, ours) == "http://127.0.0.1:4711"

    async def write_in_pieces(stream: trio.abc.SendStream) -> None:
        for begin, end in pairwise(edges):
            await stream.send_all(LOG[begin:end])
            await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()

    trio.run(scenario)


@pytest.mark.parametrize(
    "log, last_words",
    [
        (b"", "it said nothing"),
        (b'{"event": "start"}\nscalechat: error: no more files\n', "scalechat: error: no more files"),
        (b'{"event": "listening", "url": "http://cut', '{"event": "listening", "url": "http://cut'),
    ],
)
async def test_a_server_that_does_not_come_up_is_quoted(log: bytes, last_words: str) -> None:
    """The reason is in its last line, so that line is in the error."""
    theirs, ours = trio.testing.memory_stream_one_way_pair()
    await theirs.send_all(log)
    await theirs.aclose()
    with pytest.raises(OperationalError) as caught:
        await follow_log(ours)
    assert str(caught.value) == f"the demo's server did not start: {last_words}"


# ---- the server as a child ---------------------------------------------------------------------


async def test_the_server_lives_as_long_as_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves its page inside, listens no longer outside, and the caller's settings do not reach it."""
    monkeypatch.setenv("SCALECHAT_HOST", "no.such.host.invalid")
    monkeypatch.setenv("SCALECHAT_NO_SUCH_SETTING", "1")
    async with server_process() as url:
        page = await trio.to_thread.run_sync(lambda: urlopen(url).read())
        assert b"<!doctype html>" in page[:200].lower()
    assert not is_open(url)


async def test_cancelling_the_body_ends_the_server() -> None:
    """A time-out or a Ctrl-C in the middle of the load leaves no process."""
    with trio.CancelScope() as scope:
        async with server_process() as url:
            scope.cancel()
            await trio.sleep_forever()
    assert not is_open(url)


# ---- the whole command -------------------------------------------------------------------------


@contextmanager
def demo(out: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scalechat", "demo", "--out", str(out), *flags],
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def url_of_the_page(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("page"):
            return line.split()[1]
    pytest.fail("the demo named no page")


def test_the_demo_shows_a_run_that_lost_nothing_and_its_report(tmp_path: Path) -> None:
    """Exit 0, a ledger without a hole, a report to open, and nothing else left: no process, no file."""
    with demo(tmp_path, "--clients", "8", "--rooms", "2", "--duration", "1") as process:
        url = url_of_the_page(process)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    assert not is_open(url)
    (run_dir,) = tmp_path.iterdir()
    ledger = json.loads((run_dir / "run.json").read_text())["ledger"]
    assert ledger["delivered"] == ledger["expected"] > 0
    assert ledger["missing"] == ledger["duplicated"] == ledger["reordered"] == 0
    report = Path(next(line for line in out.splitlines() if line.startswith("report")).split()[1])
    assert report.parent == run_dir
    assert report.stat().st_size > 10_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_told_to_end_leaves_no_server(tmp_path: Path, number: signal.Signals) -> None:
    """A closed terminal window is not the end of the demo alone."""
    with demo(tmp_path, "--clients", "2", "--rooms", "1", "--duration", "600") as process:
        url = url_of_the_page(process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (128 + number, 105), err
    assert "Traceback" not in err
    assert not is_open(url)


def test_ctrl_c_ends_the_demo_and_keeps_the_run(tmp_path: Path) -> None:
    """The interrupted run is written, the server is gone, and there is no traceback."""
    with demo(tmp_path, "--clients", "4", "--rooms", "1", "--duration", "600") as process:
        url = url_of_the_page(process)
        eventually(lambda: any(tmp_path.glob("*/timeseries.csv")), "the run has begun", within_s=30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 105, out + err
    assert "Traceback" not in out + err
    assert not is_open(url)
    (run_dir,) = tmp_path.iterdir()
    assert (run_dir / "run.json").exists()
