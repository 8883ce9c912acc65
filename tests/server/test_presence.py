"""Who comes and goes, as it is told."""

import json

import pytest
import trio
from trio.testing import MockClock

from scalechat.bus.base import BusError, PresenceChange
from scalechat.server.presence import MANY_CHANGES, PresenceBoard

LIMIT = 100


class Board:
    """A board over a room that grows and shrinks with what it is told."""

    def __init__(self, nursery: trio.Nursery, *, debounce_s: float = 0.5, others: int = 0) -> None:
        self.present: set[str] = set()
        self.others = others
        self.away = False
        self.told: list[dict[str, object]] = []
        self.board = PresenceBoard(debounce_s=debounce_s, limit=LIMIT, population=self._count, tell=self._tell)
        nursery.start_soon(self.board.run)

    def enter(self, *names: str) -> None:
        for name in names:
            self.present.add(name)
            self.board.note(PresenceChange("tea", name, entered=True))

    def leave(self, *names: str) -> None:
        for name in names:
            self.present.discard(name)
            self.board.note(PresenceChange("tea", name, entered=False))

    @property
    def events(self) -> list[tuple[object, object]]:
        return [(said["clientId"], said["event"]) for said in self.told]

    async def _count(self, room: str) -> int:
        if self.away:
            raise BusError("away")
        return len(self.present) + self.others

    def _tell(self, room: str, frame: bytes) -> None:
        said = json.loads(frame[frame.index(b"{") :])
        assert said["room"] == room == "tea"
        self.told.append(said)


async def test_a_move_is_told_after_a_moment(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """One event for each client."""
    board = Board(nursery)
    board.enter("ada", "bob")
    board.leave("eve")
    await trio.sleep(0.4)
    assert board.told == []
    await trio.sleep(0.2)
    assert board.events == [("ada", "join"), ("bob", "join"), ("eve", "leave")]
    assert {said["type"] for said in board.told} == {"presence_event"}


async def test_who_leaves_and_returns_in_a_moment_has_not_moved(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Nor has who only looked in; both are told when they take longer."""
    board = Board(nursery)
    board.leave("ada")
    board.enter("ada")
    board.enter("bob")
    board.leave("bob")
    await trio.sleep(1)
    assert board.told == []
    board.leave("ada")
    await trio.sleep(1)
    board.enter("ada")
    await trio.sleep(1)
    assert board.events == [("ada", "leave"), ("ada", "join")]


@pytest.mark.parametrize("others, newcomers", [(LIMIT, 1), (0, MANY_CHANGES + 1)])
async def test_in_a_crowd_only_the_count_is_told(
    autojump_clock: MockClock, nursery: trio.Nursery, others: int, newcomers: int
) -> None:
    """Where the room is large, and where many move at once: one frame in place of all."""
    board = Board(nursery, others=others)
    board.enter(*(f"c{n}" for n in range(newcomers)))
    await trio.sleep(1)
    assert board.told == [{"type": "presence_count", "room": "tea", "count": others + newcomers}]


async def test_a_bus_that_is_away_costs_an_event_and_nothing_else(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What happens later is told."""
    board = Board(nursery)
    board.away = True
    board.enter("ada")
    await trio.sleep(1)
    board.away = False
    board.enter("bob")
    await trio.sleep(1)
    assert board.events == [("bob", "join")]


async def test_without_a_moment_everything_is_told_at_once(nursery: trio.Nursery) -> None:
    """Every move, in its order."""
    board = Board(nursery, debounce_s=0)
    board.enter("ada")
    board.leave("ada")
    assert board.events == [("ada", "join"), ("ada", "leave")]
