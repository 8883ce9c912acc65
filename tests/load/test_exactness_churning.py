"""Exactness to those who come and go: which member owes whom what, however often its connections change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from scalechat.load.results import ConnectionRow, read_run
from scalechat.scenario import AnyKind, Churning, Probe, Publisher, Reader, Slow

from .lies import Lies
from .test_exactness import MIXES, faulty_run, require_equal

COMING_BACK = {
    "honest": Lies(),
    "lossy": Lies(drop=0.05, duplicate=0.05, reorder=0.05, corrupt=0.03),
    "late": Lies(delay=0.05, stalls=((3.0, 4.0),)),
    "reneging": Lies(reject=0.1, renege=0.1, mute=0.05, drop=0.03),
    "swallowing": Lies(swallow=0.2),
    "mute and lossy": Lies(mute=0.2, drop=0.1, kills=(2.3, 3.1)),
}


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("fault", COMING_BACK)
async def test_the_ledger_is_what_the_server_did_to_those_who_come_and_go(
    fault: str, resume: bool, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Who resumes is one member over all its connections; who does not is another one each time."""
    churning = Churning(share=0.5, every_s=0.7, away_s=0.2, resume=resume)
    outcome, server = await faulty_run(
        COMING_BACK[fault], tmp_path, v1=True, clients=10, publishers=5, kinds=(churning,), no_reconnect=False
    )
    connections = list(read_run(outcome.run_dir).rows(ConnectionRow))
    assert sum(row.reconnect_of is not None for row in connections) > 15
    require_equal(outcome, server)


async def test_who_is_away_when_the_run_ends_misses_nothing_that_was_never_taken(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Its row is written when it is known what was not acknowledged."""
    churning = Churning(share=0.4, every_s=0.6, away_s=0.2)
    shape: dict[str, object] = {"clients": 9, "publishers": 4, "rooms": 1, "drain_s": 0.0, "duration_s": 3.0}
    shape |= {"warmup_s": 0.5, "kinds": (churning,), "no_reconnect": False}
    require_equal(*await faulty_run(Lies(swallow=0.2, seed=1), tmp_path, v1=True, **shape))


async def test_what_a_member_missed_is_told_by_an_attempt_that_did_not_bring_it_back(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It meant to resume and the run ended before it was let in: the row of its last connection."""
    churning = Churning(share=0.4, every_s=0.6, away_s=0.1)
    lies = Lies(drop=0.2, accept_s=1.0)
    outcome, server = await faulty_run(lies, tmp_path, v1=True, kinds=(churning,), no_reconnect=False, drain_s=0.0)
    rows = list(read_run(outcome.run_dir).rows(ConnectionRow))
    assert any(row.missed and row.received is None for row in rows)
    require_equal(outcome, server)


KINDS = st.lists(
    st.one_of(
        st.builds(
            Churning,
            count=st.sampled_from([2, 4]),
            every_s=st.sampled_from([0.4, 0.8]),
            away_s=st.sampled_from([0.1, 0.3]),
            resume=st.booleans(),
        ),
        st.just(Publisher(count=2)),
        st.just(Reader(count=2)),
        st.builds(Slow, count=st.just(1), read_bytes_per_s=st.sampled_from([2_000, 20_000])),
        st.just(Probe(count=1)),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=10)  # each is a whole run, some 300 ms; 1,500 have passed by hand
@given(
    lies=MIXES,
    kinds=KINDS,
    v1=st.booleans(),
    rooms=st.integers(1, 3),
    drain_s=st.sampled_from([0.0, 1.0, 4.0]),
    no_reconnect=st.booleans(),
)
def test_the_ledger_is_what_the_server_did_to_every_kind_in_every_mix(
    lies: Lies, kinds: Sequence[AnyKind], v1: bool, rooms: int, drain_s: float, no_reconnect: bool
) -> None:
    """Whoever publishes, reads, lags, comes and goes, whatever the server does to them, all at once."""
    if any(isinstance(kind, Slow) for kind in kinds):
        # Who is slow to read learns that it was cut off when it has read so far, and nobody but it knows when that is.
        # A Close frame comes in its turn as well, and is answered.
        lies = replace(lies, kills=())
    shape: dict[str, object] = {"clients": 12, "publishers": None, "rooms": rooms, "drain_s": drain_s}
    shape |= {"kinds": tuple(kinds), "no_reconnect": no_reconnect, "warmup_s": 0.5, "duration_s": 2.5}

    async def main(out: Path) -> None:
        require_equal(*await faulty_run(lies, out, v1=v1, **shape))

    with TemporaryDirectory() as out:
        trio.run(main, Path(out), clock=MockClock(autojump_threshold=0))
