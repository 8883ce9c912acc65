"""Every lie a server may tell, one at a time: which columns of the ledger name it, and that no other does.

That each figure is right as well is held by `require_equal`, here and for all mixes in `test_exactness`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from scalechat.load.results import ErrorRow, read_run

from .lies import Lies
from .test_exactness import faulty_run, require_equal

FAULTS = (
    *("missing", "duplicated", "reordered", "corrupted", "phantom", "early", "unknown_frames"),
    *("rejected", "unacked", "refused_delivered"),
)
LIES = {
    "acknowledges and delivers nothing": (Lies(ack_only=1.0), {"missing"}),
    "acknowledges and delivers some": (Lies(drop=0.2), {"missing"}),
    "delivers before it acknowledges": (Lies(ack_late=1.0), set()),
    "delivers and never acknowledges": (Lies(mute=0.2), {"unacked"}),
    "neither delivers nor acknowledges": (Lies(swallow=0.2), {"unacked"}),
    "refuses": (Lies(reject=0.2), {"rejected"}),
    "refuses and delivers": (Lies(renege=0.2), {"rejected", "refused_delivered"}),
    "delivers to another room as well": (Lies(astray=1.0), {"phantom"}),
    "delivers to another room instead": (Lies(astray=1.0, drop=1.0), {"phantom", "missing"}),
    "changes the text and keeps the id": (Lies(corrupt=0.2), {"corrupted", "missing"}),
    "delivers another message's text under an id": (Lies(swap=0.2), {"corrupted", "missing"}),
    "loses the end of a frame": (Lies(tear=0.2), {"corrupted", "missing"}),
    "delivers under an id that nobody published": (Lies(strange_id=0.2), {"phantom"}),
    "delivers a text that nobody published": (Lies(phantom=0.2), {"phantom"}),
    "delivers twice": (Lies(duplicate=0.2), {"duplicated"}),
    "delivers in another order": (Lies(reorder=0.2), {"reordered"}),
    "delivers late": (Lies(delay=0.05, stalls=((1.5, 2.0),)), set()),
    "tells those who resume what they had": (Lies(rewind=3, kills=(1.5, 2.0)), {"duplicated"}),
    "forgets where those who resume were": (Lies(kills=(1.5, 1.501, 1.502), forgets=(1.503,)), {"missing"}),
    "closes connections": (Lies(closes=(1.5, 2.0)), set()),
}


@pytest.mark.parametrize("lie", LIES)
async def test_each_lie_is_named(lie: str, autojump_clock: MockClock, tmp_path: Path) -> None:
    """In its columns of the ledger and in no other."""
    lies, columns = LIES[lie]
    outcome, server = await faulty_run(lies, tmp_path, v1=True, no_reconnect=False, warmup_s=0.5, duration_s=2.0)
    require_equal(outcome, server)
    assert {name for name in FAULTS if getattr(outcome.manifest.ledger, name)} == columns


async def test_positions_that_go_back_are_an_error_of_their_own(autojump_clock: MockClock, tmp_path: Path) -> None:
    """The server says that it recovered everything, and its log ends before where the client was."""
    lies, _columns = LIES["forgets where those who resume were"]
    outcome, _server = await faulty_run(lies, tmp_path, v1=True, no_reconnect=False, warmup_s=0.5, duration_s=2.0)
    errors = {row.kind: row.count for row in read_run(outcome.run_dir).rows(ErrorRow)}
    assert errors["position_went_back"] == 3
