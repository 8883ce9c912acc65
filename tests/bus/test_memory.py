import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from scalechat.bus.base import Event, Page, Receipt
from scalechat.bus.memory import DEDUPE_IDS, MemoryBus
from scalechat.wire.messages import Publication

TEXT = "x" * 100
COST = 700
"""What the bus reckons for one kept `TEXT`: 4 bytes a character and 300 for the rest."""


async def _say(bus: MemoryBus, room: str, count: int, text: str = TEXT) -> None:
    for _ in range(count):
        await bus.publish(room, "alice", text)


async def _kept(bus: MemoryBus, room: str) -> list[int]:
    return [publication.seq for publication in (await bus.history(room, limit=10**6)).publications]


async def test_each_log_keeps_its_newest_messages() -> None:
    """`history_messages` of them, with the positions they always had."""
    bus = MemoryBus(history_messages=3)
    await _say(bus, "tea", 5)
    await _say(bus, "bar", 2)
    assert (await _kept(bus, "tea"), await _kept(bus, "bar")) == ([3, 4, 5], [1, 2])


async def test_a_bus_without_history_still_counts() -> None:
    """Positions go on, and every page is empty."""
    bus = MemoryBus(history_messages=0)
    await _say(bus, "tea", 2)
    page = await bus.follow("tea")
    assert (page.seq, list(page.publications), await _kept(bus, "tea")) == (2, [], [])


async def test_all_logs_together_are_bounded_in_bytes() -> None:
    """The room least recently spoken in pays first; what stays is still the newest of each room."""
    bus = MemoryBus(history_messages=100, log_bytes=5 * COST)
    await _say(bus, "old", 3)
    await _say(bus, "new", 4)
    assert (await _kept(bus, "old"), await _kept(bus, "new")) == ([3], [1, 2, 3, 4])
    await _say(bus, "new", 3)
    assert (await _kept(bus, "old"), await _kept(bus, "new")) == ([], [3, 4, 5, 6, 7])


async def test_a_message_larger_than_all_logs_may_be_is_delivered_and_not_kept() -> None:
    """The bound holds even then; its position is taken."""
    bus = MemoryBus(history_messages=100, log_bytes=COST - 1)
    await _say(bus, "tea", 1)
    assert (await _kept(bus, "tea"), (await bus.history("tea")).seq) == ([], 1)


async def test_a_log_trimmed_by_bytes_is_read_right() -> None:
    """Pages are counted from the positions that are left."""
    bus = MemoryBus(history_messages=100, log_bytes=3 * COST)
    await _say(bus, "tea", 6)
    page = await bus.history("tea", before=6, limit=10)
    assert [publication.seq for publication in page.publications] == [4, 5]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 400)), max_size=40))
def test_the_bound_in_bytes_holds_for_any_traffic(said: list[tuple[str, int]]) -> None:
    """Kept messages cost no more than allowed, and nothing is trimmed without need."""

    async def scenario() -> None:
        bus = MemoryBus(history_messages=10, log_bytes=4 * COST)
        for room, length in said:
            await bus.publish(room, "alice", "x" * length)
        pages = [await bus.history(room, limit=1000) for room in "abcd"]
        kept = sum(300 + 4 * len(publication.text) for page in pages for publication in page.publications)
        assert kept <= 4 * COST
        for page in pages:
            seqs = [publication.seq for publication in page.publications]
            assert seqs == list(range(page.seq + 1 - len(seqs), page.seq + 1))

    trio.run(scenario)


async def test_rooms_nobody_follows_are_forgotten_least_recently_used_first() -> None:
    """A client may speak in any number of rooms; the process remembers so many of them."""
    bus = MemoryBus(history_messages=3, idle_rooms=10)
    for n in range(11):
        await _say(bus, f"room-{n:02}", 1)
    assert [room.name for room in await bus.rooms()] == [f"room-{n:02}" for n in range(2, 11)]
    await _say(bus, "room-02", 1)
    await _say(bus, "room-11", 1)
    await _say(bus, "room-12", 1)
    assert [room.name for room in await bus.rooms()] == ["room-02", *(f"room-{n:02}" for n in range(5, 13))]


async def test_a_followed_room_is_never_forgotten() -> None:
    """However long nothing is said in it."""
    bus = MemoryBus(history_messages=3, idle_rooms=2)
    page = await bus.follow("tea")
    await _say(bus, "tea", 1)
    for n in range(50):
        await _say(bus, f"room-{n}", 1)
    assert (await bus.history("tea")).epoch == page.epoch
    assert await bus.publish("tea", "alice", "hi") == Receipt(2, duplicate=False)


async def test_a_room_in_which_nothing_was_said_leaves_nothing() -> None:
    """Joining rooms at random costs the process nothing that lasts."""
    bus = MemoryBus(history_messages=3)
    await bus.follow("tea")
    bus.unfollow("tea")
    assert (await bus.rooms(), await bus.history("tea")) == ([], Page("", 0, ()))


async def test_forgotten_logs_give_their_bytes_back() -> None:
    """Otherwise the bytes of rooms long gone would push out those of the living."""
    bus = MemoryBus(history_messages=3, idle_rooms=1, log_bytes=4 * COST)
    for n in range(20):
        await _say(bus, f"room-{n}", 1)
    await bus.follow("tea")
    await _say(bus, "tea", 3)
    assert await _kept(bus, "tea") == [1, 2, 3]


async def test_the_dedupe_window_is_bounded() -> None:
    """The oldest id goes when one more comes; a retry within the window is still known."""
    bus = MemoryBus(history_messages=3)
    for n in range(DEDUPE_IDS + 1):
        await bus.publish("tea", "alice", "hi", str(n))
    assert await bus.publish("tea", "alice", "hi", "1") == Receipt(2, duplicate=True)
    assert await bus.publish("tea", "alice", "hi", "0") == Receipt(DEDUPE_IDS + 2, duplicate=False)


async def test_the_clock_that_stamps_messages_is_the_one_it_was_given() -> None:
    """Unix time in whole milliseconds."""
    bus = MemoryBus(history_messages=3, now_s=lambda: 1_700_000_000.9999)
    await bus.publish("tea", "alice", "hi")
    assert [p.ts_unix_ms for p in (await bus.history("tea")).publications] == [1_700_000_000_999]


async def test_delivery_happens_while_run_runs() -> None:
    """What is said before is in the log; what is said after its end is kept as well, and delivered to nobody."""
    bus = MemoryBus(history_messages=10)
    events: list[Event] = []
    await bus.follow("tea")
    await _say(bus, "tea", 1)
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run, events.append)
        await _say(bus, "tea", 1)
        nursery.cancel_scope.cancel()
    await _say(bus, "tea", 1)
    assert [event.seq for event in events if isinstance(event, Publication)] == [2]
    assert await _kept(bus, "tea") == [1, 2, 3]


async def test_following_twice_is_an_error_of_ours() -> None:
    """One node, one follower."""
    bus = MemoryBus(history_messages=3)
    await bus.follow("tea")
    with pytest.raises(AssertionError, match="followed already"):
        await bus.follow("tea")
