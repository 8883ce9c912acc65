from collections.abc import Callable

import pytest

from scalechat.server.eviction import Evictor
from scalechat.server.member import Member
from scalechat.server.metrics import EVICTIONS
from scalechat.wire import closing
from scalechat.wire.closing import Closing
from tests.server.seats import seats

WAYS: list[tuple[Callable[[Evictor, Member], None], str, Closing, str, int | None]] = [
    (Evictor.queue_full, "queue_full", closing.TOO_SLOW, "", 1000),
    (Evictor.queue_too_old, "queue_age", closing.TOO_SLOW, "", 1000),
    (Evictor.left_behind, "resync", closing.TOO_SLOW, "", 1000),
    (
        lambda evictor, member: evictor.log_reset(member, 3),
        "log_reset",
        closing.GOING_AWAY,
        "a room's log began anew",
        103,
    ),
    (Evictor.silent, "heartbeat", closing.GOING_AWAY, "no answer to pings", None),
    (Evictor.token_expired, "token_expired", closing.NOT_AUTHORISED, "the token has expired", None),
    (Evictor.too_fast, "rate_limit", closing.RATE_LIMIT, "", 2000),
    (Evictor.kicked, "kicked", closing.KICKED, "", None),
]


def test_every_reason_to_evict_has_its_way() -> None:
    """The metric's label values and the methods are the same list."""
    assert sorted(reason for _, reason, *_ in WAYS) == sorted(EVICTIONS)


@pytest.mark.parametrize("evict, reason, why, detail, retry_ms", WAYS, ids=[way[1] for way in WAYS])
async def test_an_eviction_is_counted_by_reason_and_tells_why(
    evict: Callable[[Evictor, Member], None], reason: str, why: Closing, detail: str, retry_ms: int | None
) -> None:
    """The close code, what is said, and when to come back where that helps."""
    async with seats() as made:
        seat = made.take()
        evict(Evictor(made.counters), seat.member)
        assert seat.endings == [(why, detail, retry_ms)]
        assert {label for label, count in made.counters.evictions.items() if count} == {reason}


async def test_one_that_is_ending_already_is_not_evicted_again() -> None:
    """A stopped reader is too slow, too old and silent in one tick: it is one eviction."""
    async with seats() as made:
        seat = made.take()
        for evict, *_ in WAYS:
            evict(Evictor(made.counters), seat.member)
        assert (len(seat.endings), sum(made.counters.evictions.values())) == (1, 1)
