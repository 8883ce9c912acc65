"""Runs of hours: what the load client keeps grows with its clients, never with the time or with what was delivered."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import scalechat
from scalechat.client.shared_reader import SharedReader
from scalechat.load import decoding, room_stream, stretches
from scalechat.load.runner import Interruption
from scalechat.scenario import Churning

from .broadcaster import Broadcaster
from .worlds import MemoryConnector, virtual_run

OURS = [tracemalloc.Filter(True, f"{Path(scalechat.__file__).parent}/*")]


def kept_bytes() -> int:
    """What our own code has allocated and still holds."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(OURS)
    return sum(trace.size for trace in snapshot.traces)


@pytest.fixture
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered to spare parsing has a limit of megabytes, which would hide what is really kept."""
    defaults = SharedReader.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "remember_bytes", 1_024)
    monkeypatch.setattr(decoding, "_REMEMBERED_BYTES", 1_024)
    monkeypatch.setattr(room_stream, "_STRETCH_BYTES", (1_024, 1_024))
    monkeypatch.setattr(stretches, "MOST", 4)


async def test_what_is_kept_does_not_grow_with_the_time(
    autojump_clock: MockClock, small_caches: None, tmp_path: Path
) -> None:
    """Twelve seconds with thousands of deliveries, and members that come and go, leaves nothing behind but its rows."""
    server = Broadcaster(v1=True)
    kept: list[int] = []

    async def look(connector: MemoryConnector, interruption: Interruption) -> None:
        for begin in (8.0, 20.0):
            # What is under way just then is no concern here.
            looks = []
            for tenths in range(3):
                await trio.sleep_until(begin + tenths / 10)
                looks.append(kept_bytes())
            kept.append(min(looks))

    tracemalloc.start()
    try:
        outcome = await virtual_run(
            server.serve,
            tmp_path,
            clients=6,
            kinds=(Churning(count=2, every_s=2.0, away_s=0.5),),
            msg_frequency_ms=80.0,
            duration_s=21.0,
            meanwhile=look,
        )
    finally:
        tracemalloc.stop()
    ledger = outcome.manifest.ledger
    assert ledger.missing == 0
    assert ledger.published > 1_000
    assert kept[1] - kept[0] < 8_000  # a number of 8 bytes for each delivery would be 29,000
