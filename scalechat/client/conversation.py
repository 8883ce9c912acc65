"""One client's conversation across many connections, without any I/O.

Theory of operation: requests carry an id and stay *pending* until their answer comes. A new
connection begins with a ``join`` for every room we are in, ``since`` the position reached, then
repeats what is pending in its old order; the server recognises a message it already has by its
id. Positions make sure that nothing is surfaced twice, and a hole in a room's numbers is never
surfaced at all: it breaks the connection, and the resume fills it.

    begin(…)             note a request              → (id, frame)
    connected()          a connection was welcomed   → frames to send first, and answers known already
    received(said)       the server said something   → what that means, as `Outcome` values
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scalechat.client.errors import RequestRefused
from scalechat.client.events import Event, Joined, LeftBehind
from scalechat.wire.codec import decode_server_text, encode_command
from scalechat.wire.messages import (
    Ack,
    BadMessage,
    Command,
    DirectMessage,
    ErrorAnswer,
    History,
    Join,
    Leave,
    Left,
    Position,
    Presence,
    PresenceCount,
    PresenceEvent,
    Publication,
    Reconnect,
    ServerSays,
    Welcome,
)
from scalechat.wire.messages import Joined as JoinedAnswer

#: Private messages have no position, so a repeated one is recognised by its sender's id. Repeats
#: follow a reconnect at once; more than these are never under way between two people.
DIRECTS_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Past:
    """What a room's log holds, oldest first."""

    messages: tuple[Publication, ...]


Answer = Ack | Joined | Left | Presence | Past


@dataclass(frozen=True, slots=True)
class Surface:
    """Show `event` to whoever iterates."""

    event: Event


@dataclass(frozen=True, slots=True)
class Reply:
    """The request `id` is answered."""

    id: str
    result: Answer | RequestRefused


@dataclass(frozen=True, slots=True)
class ComeBack:
    """The server will close soon and asks to come back after `after_ms`."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class Break:
    """The connection cannot be trusted any more; drop it and resume on a new one."""

    reason: str


Outcome = Surface | Reply | ComeBack | Break


@dataclass(slots=True)
class _Room:
    position: Position
    history: int
    presence: bool


class Conversation:
    """The rooms we are in, what we asked, and what we have already seen.

    `id_prefix` makes our ids differ from those of every other run under the same name: the
    server remembers ids longer than a client lives.
    """

    def __init__(self, id_prefix: str) -> None:
        self._id_prefix = id_prefix
        self._ids = 0
        self._rooms: dict[str, _Room] = {}
        self._pending: dict[str, Command] = {}  # in the order asked
        self._rejoining: dict[str, str] = {}  # id → room, of this connection
        self._draining = False  # this connection's server asked us to come back later
        self._directs: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Conversation rooms={len(self._rooms)} pending={len(self._pending)}>"

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms we are in, in the order joined; a reconnect under way does not change them."""
        return tuple(self._rooms)

    def position(self, room: str) -> Position | None:
        """How far we have seen `room`; ``None`` when we are not in it."""
        known = self._rooms.get(room)
        return None if known is None else known.position

    def begin(self, make: Callable[[str], Command]) -> tuple[str, bytes]:
        """Note a request and return its id and the frame to send; `make` builds it from the id.

        Raises `scalechat.wire.codec.EncodeError` when its text is not Unicode; nothing is noted.
        """
        id = self._next_id()
        command = make(id)
        frame = encode_command(command)
        self._pending[id] = command
        return id, frame

    def forget(self, id: str) -> None:
        """Nobody waits for this answer any more; the request is not repeated after a reconnect."""
        self._pending.pop(id, None)

    def is_pending(self, id: str) -> bool:
        """Whether the request still waits for its answer."""
        return id in self._pending

    def connected(self) -> tuple[list[bytes], list[Outcome]]:
        """Return the frames a fresh connection begins with, and what became clear by itself."""
        self._draining = False
        outcomes: list[Outcome] = []
        for id, command in list(self._pending.items()):
            if isinstance(command, Leave):  # The lost connection left for us.
                outcomes += self._left(id, command.room)
        self._rejoining = {}
        rejoins: list[bytes] = []
        for name, room in self._rooms.items():
            id = self._next_id()
            self._rejoining[id] = name
            join = Join(name, room.position, room.history, room.presence, id)
            rejoins.append(encode_command(join))
        return rejoins + [encode_command(command) for command in self._pending.values()], outcomes

    def received(self, said: Publication | ServerSays) -> list[Outcome]:
        """Return what `said` means; the state has already changed accordingly."""
        match said:
            case Publication():
                return self._published(said)
            case JoinedAnswer():
                return self._joined(said)
            case ErrorAnswer():
                return self._refused(said)
            case Ack(id=str(id)) | Presence(id=str(id)):
                return self._answered(id, said)
            case History(id=str(id)):
                return self._answered(id, Past(_publications(said.messages)))
            case Left(id=str(id), room=room):
                return self._left(id, room)
            case DirectMessage():
                return self._direct(said)
            case PresenceEvent():
                return [Surface(said)] if said.room in self._rooms else []
            case Reconnect(after_ms=after_ms):
                self._draining = True
                return [ComeBack(after_ms)]
            case Welcome() | Ack() | Presence() | PresenceCount() | History() | Left():
                return []  # a second welcome, or an answer to nobody: says nothing to us

    # ---- rules -----------------------------------------------------------------------------

    def _published(self, said: Publication) -> list[Outcome]:
        room = self._rooms.get(said.room)
        if room is None or said.seq <= room.position.seq:
            return []  # just left, or already seen
        if said.seq != room.position.seq + 1:
            gap = f"{room.position.seq + 1} to {said.seq - 1} of {said.room} did not arrive"
            return [Break(gap)]
        room.position = Position(room.position.epoch, said.seq)
        return [Surface(said)]

    def _joined(self, said: JoinedAnswer) -> list[Outcome]:
        id = said.id or ""
        asked = self._pending.pop(id, None)
        rejoined = self._rejoining.pop(id, None)
        if rejoined is None and not isinstance(asked, Join):
            return []
        past = _publications(said.history)
        before = self._rooms.get(said.room)
        position = Position(said.epoch, said.seq)
        if before is None:
            if not isinstance(asked, Join):
                return []  # left while it was being rejoined
            self._rooms[said.room] = _Room(position, asked.history, asked.presence)
            event = Joined(room=said.room, members=said.members, history=past)
            return [Surface(event), Reply(id, event)]
        new, recovered = _since(before.position, said, past)
        before.position = position
        event = Joined(
            room=said.room,
            members=said.members,
            resumed=True,
            recovered=recovered,
            missed=len(new),
        )
        outcomes: list[Outcome] = [Surface(event), *map(Surface, new)]
        if asked is not None:
            outcomes.append(Reply(id, replace(event, history=past)))
        return outcomes

    def _refused(self, said: ErrorAnswer) -> list[Outcome]:
        if said.id is None:
            return [Surface(said)]
        if said.code == "busy" and self._draining:
            return []  # A reconnect follows, and the request is repeated there.
        room = self._rejoining.pop(said.id, None)
        if room is not None:
            self._rooms.pop(room, None)
            return [Surface(LeftBehind(room=room, code=said.code, detail=said.detail))]
        return self._answered(said.id, RequestRefused(said.code, said.detail))

    def _left(self, id: str, room: str) -> list[Outcome]:
        self._rooms.pop(room, None)
        return self._answered(id, Left(id=id, room=room))

    def _answered(self, id: str, result: Answer | RequestRefused) -> list[Outcome]:
        if self._pending.pop(id, None) is None:
            return []  # its caller has given up, or it was answered on an earlier connection
        return [Reply(id, result)]

    def _direct(self, said: DirectMessage) -> list[Outcome]:
        if said.id is not None:
            key = (said.client_id, said.id)
            if key in self._directs:
                return []
            self._directs[key] = None
            if len(self._directs) > DIRECTS_REMEMBERED:
                self._directs.popitem(last=False)
        return [Surface(said)]

    def _next_id(self) -> str:
        self._ids += 1
        return f"{self._id_prefix}-{self._ids}"


def _since(seen: Position, said: JoinedAnswer, past: tuple[Publication, ...]) -> tuple[tuple[Publication, ...], bool]:
    """Return what of `past` is new to one who has seen up to `seen`, and whether that is all."""
    if said.epoch != seen.epoch:
        return past, False  # The log began anew; what it holds was said after that.
    new = tuple(message for message in past if message.seq > seen.seq)
    # Believe the numbers more than the flag: a hole must never pass as recovered.
    whole = [message.seq for message in new] == list(range(seen.seq + 1, said.seq + 1))
    return new, said.recovered and whole


def _publications(raws: Sequence[bytes]) -> tuple[Publication, ...]:
    found: list[Publication] = []
    for raw in raws:
        try:
            message = decode_server_text(bytes(raw))
        except BadMessage:
            continue  # not ours to judge; the numbers show that one is missing
        if isinstance(message, Publication):
            found.append(message)
    return tuple(found)
