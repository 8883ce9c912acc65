"""Any sequence of calls on a bus against a model that fits on a page."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scalechat.bus.base import DirectDelivery, Event, Page, PresenceChange, Receipt, RoomInfo
from scalechat.wire.messages import DirectMessage, Publication
from tests.bus.hosted import Hosted
from tests.bus.opening import HISTORY, OpenBus

ROOMS = st.sampled_from(("tea", "bar", "den"))
CLIENTS = st.sampled_from(("alice", "bob"))
IDS = st.none() | st.sampled_from(("1", "2", "3"))

Said = tuple[int, str, str, str | None]
"""Position, client, text, id: a publication without the time, which only the bus knows."""


@dataclass(slots=True)
class ModelRoom:
    log: list[Said] = field(default_factory=list)
    receipts: dict[tuple[str, str], int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)


def said(publication: Publication) -> Said:
    return (publication.seq, publication.client_id, publication.text, publication.id)


def timeless(event: Event) -> object:
    """An event as the model knows it."""
    return (event.room, said(event)) if isinstance(event, Publication) else event


class BusMachine(RuleBasedStateMachine):
    """Subclasses name the bus."""

    open_bus: Callable[[], AbstractAsyncContextManager[OpenBus]]

    def __init__(self) -> None:
        super().__init__()
        self.trio = Hosted(type(self).open_bus)
        self.rooms: dict[str, ModelRoom] = {}
        self.followed: set[str] = set()
        self.epochs: dict[str, str] = {}
        self.expected: list[object] = []

    def teardown(self) -> None:
        self.trio.close()

    def room(self, name: str) -> ModelRoom:
        return self.rooms.setdefault(name, ModelRoom())

    # --- what may happen --------------------------------------------------------------------------------------------

    @rule(name=ROOMS, client=CLIENTS, text=st.text(max_size=3), id=IDS)
    def publish(self, name: str, client: str, text: str, id: str | None) -> None:
        receipt = self.trio.call(lambda node: node.bus.publish(name, client, text, id))
        room = self.room(name)
        if id is not None and (seq := room.receipts.get((client, id))) is not None:
            assert receipt == Receipt(seq, duplicate=True)
            return
        entry = (len(room.log) + 1, client, text, id)
        assert receipt == Receipt(entry[0], duplicate=False)
        room.log.append(entry)
        if id is not None:
            room.receipts[client, id] = entry[0]
        if name in self.followed:
            self.expected.append((name, entry))

    @rule(name=ROOMS)
    def follow_or_unfollow(self, name: str) -> None:
        if name in self.followed:
            self.followed.discard(name)
            self.trio.call(lambda node: _plain(node.bus.unfollow, name))
            if not self.room(name).log:
                self.epochs.pop(name, None)  # Nothing was said in it: the bus need not remember its epoch.
        else:
            page = self.trio.call(lambda node: node.bus.follow(name))
            self.followed.add(name)
            self.check_page(name, page, None, 10**6)

    @rule(name=ROOMS, before=st.none() | st.integers(0, 30), limit=st.integers(0, HISTORY))
    def read_history(self, name: str, before: int | None, limit: int) -> None:
        page = self.trio.call(lambda node: node.bus.history(name, before=before, limit=limit))
        if self.room(name).log:
            self.check_page(name, page, before, limit)

    @rule(name=ROOMS, client=CLIENTS)
    def enter(self, name: str, client: str) -> None:
        self.trio.call(lambda node: node.bus.enter(name, client))
        present = self.room(name).present
        present[client] = present.get(client, 0) + 1
        if present[client] == 1:
            self.expect_change(name, client, entered=True)

    @precondition(lambda self: any(room.present for room in self.rooms.values()))
    @rule(choice=st.integers(0, 100))
    def exit(self, choice: int) -> None:
        there = sorted((name, client) for name, room in self.rooms.items() for client in room.present)
        name, client = there[choice % len(there)]
        self.trio.call(lambda node: _plain(node.bus.exit, name, client))
        present = self.room(name).present
        present[client] -= 1
        if not present[client]:
            del present[client]
            self.expect_change(name, client, entered=False)

    @rule(text=st.text(max_size=3))
    def send_direct(self, text: str) -> None:
        delivery = DirectDelivery(DirectMessage(client_id="alice", to="bob", text=text, ts_unix_ms=1), "s")
        self.trio.call(lambda node: node.bus.send_direct(delivery))
        self.expected.append(delivery)

    # --- what must be true ------------------------------------------------------------------------------------------

    @invariant()
    def delivered_is_what_was_expected(self) -> None:
        events = self.trio.call(_settled_events)
        # A bus may tell of comings and goings in rooms that this node does not follow.
        assert [
            timeless(event) for event in events if not isinstance(event, PresenceChange) or event.room in self.followed
        ] == self.expected
        self.expected.clear()

    @invariant()
    def presence_and_rooms_are_what_was_entered(self) -> None:
        for name, room in self.rooms.items():
            assert self.trio.call(partial(_presence, name)) == (room.present, len(room.present))
        listed = self.trio.call(lambda node: node.bus.rooms())
        assert [info for info in listed if info.seq or info.clients] == [
            RoomInfo(name, len(room.log), len(room.present))
            for name, room in sorted(self.rooms.items())
            if room.log or room.present
        ]

    # --- helpers ----------------------------------------------------------------------------------------------------

    def expect_change(self, name: str, client: str, *, entered: bool) -> None:
        if name in self.followed:
            self.expected.append(PresenceChange(name, client, entered))

    def check_page(self, name: str, page: Page, before: int | None, limit: int) -> None:
        """A page is a stretch of the log that ends where it was asked to, and never less than is kept."""
        log = self.room(name).log
        below = log[: max(0, before - 1)] if before is not None else log
        kept = [said(publication) for publication in page.publications]
        gone = max(0, len(log) - HISTORY)
        assert page.seq == len(log)
        assert kept == below[len(below) - len(kept) :]
        assert min(limit, max(0, len(below) - gone)) <= len(kept) <= limit
        assert self.epochs.setdefault(name, page.epoch) == page.epoch


async def _plain(function: Callable[..., None], *args: str) -> None:
    function(*args)


async def _presence(name: str, node: OpenBus) -> tuple[dict[str, int], int]:
    return await node.bus.presence(name), await node.bus.population(name)


async def _settled_events(node: OpenBus) -> list[Event]:
    await node.settle()
    events = list(node.events)
    node.events.clear()
    return events


MACHINE_SETTINGS = settings(max_examples=60, stateful_step_count=25, deadline=None)
