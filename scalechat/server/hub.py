"""The rooms and members of this node: join, leave, and what arrives from the bus.

Whatever changes membership or queues is a plain `def` with no await between deciding and doing. The two coroutines,
`join` and `name`, ask the bus first and then change this node in one step.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from scalechat.bus.base import (
    Bus,
    BusError,
    DirectDelivery,
    Event,
    ImmediateBus,
    Kick,
    LogReset,
    Page,
    PresenceChange,
    Receipt,
)
from scalechat.server.member import Member
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Outcome
from scalechat.server.presence import event_frame
from scalechat.server.room import Prepared, Replay, Room
from scalechat.server.slow_consumer import PAUSE_REPLAYS, Policy, pauses
from scalechat.wire.codec import encode
from scalechat.wire.frames import text_frame
from scalechat.wire.messages import PlainDirect, Position, Publication
from scalechat.wire.session import Dialect


def prepare(publication: Publication) -> Prepared:
    """Encode once, frame once: every member is sent these very bytes."""
    payload = encode(publication)
    return Prepared(publication, payload, text_frame(payload))


class Hub:
    """`wake` is told of each room that has something pending; `evict` of each member that is over its queue limits.

    `policy_of` knows the slow-consumer policy of each room by its name. `kick` ends a member for an operator,
    `log_reset` one whose room's log does not go on, with its place among those it happens to.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        history_messages: int,
        history_bytes: int,
        counters: Counters,
        wake: Callable[[Room], None],
        evict: Callable[[Member], None],
        log_reset: Callable[[Member, int], None],
        policy_of: Callable[[str], Policy],
        kick: Callable[[Member], None],
        note_presence: Callable[[PresenceChange], None] | None = None,
    ) -> None:
        self._bus = bus
        self._immediate = bus if isinstance(bus, ImmediateBus) else None
        self._history_messages = history_messages
        self._history_bytes = history_bytes
        self._counters = counters
        self._wake = wake
        self._evict = evict
        self._policy_of = policy_of
        self._kick = kick
        self._note_presence = note_presence
        self._log_reset = log_reset
        self._opening: dict[str, tuple[trio.Event, list[Publication]]] = {}
        self._by_client: dict[str, set[Member]] = {}
        self.rooms: dict[str, Room] = {}
        self.members: dict[str, Member] = {}
        """By session id."""
        self.draining = False
        self._publishing = 0
        self._published: trio.Event | None = None

    # --- connections ------------------------------------------------------------------------------------------------

    def add(self, member: Member) -> None:
        """A connection begins its conversation."""
        self.members[member.session_id] = member
        if member.client_id is not None:
            self._by_client.setdefault(member.client_id, set()).add(member)

    async def name(self, member: Member, client_id: str) -> None:
        """An anonymous connection has said who it is. Raises `BusError`; then, and when cancelled, it has not."""
        entered: list[str] = []
        try:
            for room in tuple(member.session.rooms):
                await self._bus.enter(room, client_id)
                entered.append(room)
        except BaseException:
            for room in entered:
                self._bus.exit(room, client_id)
            raise
        # No await from here on: whoever has a name is in the presence of all its rooms.
        member.client_id = client_id
        self._by_client.setdefault(client_id, set()).add(member)

    def remove(self, member: Member) -> None:
        """A connection is over."""
        for room in list(member.session.rooms):
            self.leave(member, room)
        self.members.pop(member.session_id, None)
        same = self._by_client.get(member.client_id or "")
        if same is not None:
            same.discard(member)
            if not same:
                del self._by_client[member.client_id or ""]

    # --- rooms ------------------------------------------------------------------------------------------------------

    async def join(
        self, member: Member, name: str, *, since: Position | None, history: int, budget_bytes: int, watch: bool
    ) -> tuple[Room, Replay]:
        """Make `member` a member of the room: the replay ends where its live messages begin.

        Joining again replays again and moves the live messages' beginning, so a client can resynchronise at any time.
        Raises `BusError`; then, and when cancelled, the member is not in the room.
        """
        entered = name not in member.session.rooms and member.client_id is not None
        if entered:
            await self._bus.enter(name, member.client_id or "")
        try:
            room = await self._open(name)
        except BaseException:
            if entered:
                self._bus.exit(name, member.client_id or "")
            raise
        # No await from here on: the replay and the membership are one step.
        room.add(member, watch=watch)
        member.session.rooms.add(name)
        return room, room.replay(since, history, budget_bytes)

    def leave(self, member: Member, name: str) -> None:
        """The opposite of join."""
        member.session.rooms.discard(name)
        room = self.rooms[name]
        room.remove(member)
        if member.client_id is not None:
            self._bus.exit(name, member.client_id)
        if not room.members:
            del self.rooms[name]
            self._bus.unfollow(name)

    async def _open(self, name: str) -> Room:
        while (room := self.rooms.get(name)) is None:
            if name in self._opening:
                await self._opening[name][0].wait()
                continue
            opened, early = trio.Event(), list[Publication]()
            self._opening[name] = (opened, early)
            try:
                page = await self._bus.follow(name)
                room = self.rooms[name] = self._room_from(name, page)
                for publication in early:
                    room.append(prepare(publication))
            finally:
                del self._opening[name]
                opened.set()
        return room

    def _room_from(self, name: str, page: Page) -> Room:
        policy = self._policy_of(name)
        history_bytes = self._history_bytes * (PAUSE_REPLAYS if pauses(policy) else 1)
        room = Room(name, page.epoch, page.seq, self._history_messages, history_bytes, policy)
        for publication in page.publications:
            room.remember(prepare(publication))
        return room

    async def publish(self, room: str, client_id: str, text: str, id: str | None = None) -> Receipt:
        """Give a message its place. Raises `BusError`, always so once this node is draining."""
        self._check_not_draining()
        self._publishing += 1
        try:
            return self._counted(await self._bus.publish(room, client_id, text, id))
        finally:
            self._publishing -= 1
            if self._published is not None and not self._publishing:
                self._published.set()

    def publish_nowait(self, room: str, client_id: str, text: str, id: str | None = None) -> Receipt | None:
        """See `publish`; None, with nothing done, where the bus has to wait for somebody."""
        if self._immediate is None:
            return None
        self._check_not_draining()
        return self._counted(self._immediate.publish_nowait(room, client_id, text, id))

    def _check_not_draining(self) -> None:
        if self.draining:
            raise BusError("the server is draining")

    def _counted(self, receipt: Receipt) -> Receipt:
        self._counters.publications += not receipt.duplicate
        return receipt

    async def wait_published(self) -> None:
        """While draining: wait until no publication is under way any more."""
        if self._publishing:
            self._published = trio.Event()
            await self._published.wait()

    # --- what the bus delivers --------------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """Take one event; see `scalechat.bus.base`."""
        match event:
            case Publication():
                self._deliver_publication(event)
            case DirectDelivery():
                self._deliver_direct(event)
            case PresenceChange():
                self._deliver_presence(event)
            case LogReset():
                self._begin_anew(event)
            case Kick(session_id):
                self.kick(session_id)

    def kick(self, session_id: str) -> bool:
        """End the connection with this session id; False when it is not here."""
        member = self.members.get(session_id)
        if member is None:
            return False
        self._kick(member)
        return True

    def has_client(self, client_id: str) -> bool:
        """Whether a connection of this node speaks under that name."""
        return client_id in self._by_client

    def _deliver_publication(self, publication: Publication) -> None:
        room = self.rooms.get(publication.room)
        if room is not None:
            room.append(prepare(publication))
            if room.pending:
                self._wake(room)
        elif (opening := self._opening.get(publication.room)) is not None:
            opening[1].append(publication)

    def _begin_anew(self, reset: LogReset) -> None:
        """Nobody may go on as if nothing had happened: every member is ended, resumes and is told what is missing."""
        room = self.rooms.get(reset.room)
        if room is None:
            return
        members = list(room.members)
        room.begin_anew(reset.page.epoch, reset.page.seq, map(prepare, reset.page.publications))
        for place, member in enumerate(members):
            self._log_reset(member, place)

    def _deliver_direct(self, delivery: DirectDelivery) -> None:
        message = delivery.message
        to_v1 = text_frame(encode(message))
        to_plain = text_frame(encode(PlainDirect(message.client_id, message.text, message.ts_unix_ms)))
        parties = self._by_client.get(message.to, set()) | self._by_client.get(message.client_id, set())
        for member in parties:
            if member.session_id != delivery.sender_session:
                self.send(member, to_v1 if member.session.dialect is Dialect.V1 else to_plain)

    def _deliver_presence(self, change: PresenceChange) -> None:
        room = self.rooms.get(change.room)
        if room is None or not room.watchers:
            return
        if self._note_presence is not None:
            self._note_presence(change)
        else:
            self.tell_watchers(change.room, event_frame(change))

    def tell_watchers(self, name: str, frame: bytes) -> None:
        """Send a frame to those in a room who asked who comes and goes."""
        room = self.rooms.get(name)
        for member in tuple(room.watchers) if room is not None else ():
            self.send(member, frame)

    def send(self, member: Member, frame: bytes) -> None:
        """Send or queue one frame to one member, who is evicted when it does not fit."""
        if member.outbox.offer(frame) is Outcome.OVERFLOW:
            self._evict(member)
