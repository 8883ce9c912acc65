"""A small broadcast server for tests: plain or v1, honest or faulty by a seed, and it knows what it did.

It speaks through trio-websocket over any stream. Its truth is a list of everything it took, with who was to get it and
who did, written down where a frame leaves; so a test can hold the load client's ledger against it. Apart from the
header of a phantom it shares no code with the product but the words of the protocol.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trio
import trio_websocket

from scalechat.load import payload


@dataclass(frozen=True, kw_only=True)
class Lies:
    """Probabilities for each delivery, and apart from that what is said below."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """It comes later than it should, and others overtake it."""
    delay: float = 0.0
    """It comes later, and everything after it for this member waits as well."""
    corrupt: float = 0.0
    """A character of the text is another one; what carries it is intact."""
    tear: float = 0.0
    """The end of the frame is missing."""
    phantom: float = 0.0
    """Before it, something comes that nobody published."""
    reject: float = 0.0
    """Of a publication: refused, and told so (v1)."""
    renege: float = 0.0
    """Of a publication: refused, told so before or after, and broadcast all the same (v1)."""
    mute: float = 0.0
    """Of a publication: broadcast, and never acknowledged (v1)."""
    swallow: float = 0.0
    """Of a publication: neither broadcast nor acknowledged."""
    refuse: float = 0.0
    """Of a connection but the first: HTTP 503, or hung up on."""
    accept_s: float = 0.0
    """So long a connection waits for its handshake."""
    kills: Sequence[float] = ()
    """Seconds of Trio's clock: then one connection is cut."""
    stalls: Sequence[tuple[float, float]] = ()
    """(from, until) in seconds of Trio's clock: what arrives meanwhile is broadcast at the end."""
    seed: int = 0


Item = tuple[str, Callable[[], None]] | float
"""A frame and what to note when it leaves, or a pause in seconds."""
LATE_S = (0.01, 0.7)
"""What comes late comes so much later."""


@dataclass(eq=False)
class Who:
    """A member of a room, over all connections with which it resumes."""

    highest: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    excused: list[Taken] = field(default_factory=list)
    """What was under way when it went, and what came since; owed when it resumes."""


@dataclass(eq=False)
class Taken:
    """A publication: who was there when it came, and who really got it."""

    publisher: str
    number: int
    due: set[Who]
    got: set[Who] = field(default_factory=set)
    acked: bool = True
    rejected: bool = False


@dataclass
class Truth:
    """What was really done."""

    taken: list[Taken] = field(default_factory=list)
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0
    phantom: int = 0

    @property
    def published(self) -> int:
        return len(self.taken)

    @property
    def rejected(self) -> int:
        return sum(message.rejected for message in self.taken)

    @property
    def unacked(self) -> int:
        return sum(not message.acked and not message.rejected for message in self.taken)

    @property
    def delivered(self) -> int:
        return sum(len(message.got) for message in self.taken)

    @property
    def refused_delivered(self) -> int:
        return sum(len(message.got) for message in self.taken if message.rejected)

    @property
    def missing(self) -> int:
        """Of what was taken for good: refused and unacknowledged messages are owed to nobody."""
        return sum(len(message.due - message.got) for message in self.taken if message.acked)

    @property
    def expected(self) -> int:
        return self.delivered + self.missing

    def figures(self) -> dict[str, int]:
        """As the ledger of a run names them."""
        counts = "published rejected unacked expected delivered missing duplicated reordered corrupted phantom"
        return {name: getattr(self, name) for name in (*counts.split(), "refused_delivered")}


@dataclass(eq=False)
class Member:
    """One connection."""

    room: str
    client_id: str
    stream: trio.abc.Stream
    send: trio.MemorySendChannel[Item]
    nursery: trio.Nursery
    who: Who

    def say(self, words: dict[str, Any], note: Callable[[], None] = lambda: None) -> None:
        """Send something; `note` is called when it leaves."""
        self.send.send_nowait((json.dumps(words), note))


class Broadcaster:
    """Every message goes to every member of its room, its sender included, in the same order; or so it says."""

    def __init__(self, *, v1: bool = False, lies: Lies | None = None) -> None:
        self.v1 = v1
        self.lies = lies or Lies()
        self.truth = Truth()
        self.rooms: defaultdict[str, list[Member]] = defaultdict(list)
        self._random = random.Random(self.lies.seed)
        self._logs: defaultdict[str, list[tuple[Taken, dict[str, Any]]]] = defaultdict(list)
        self.forgetful = False
        """A v1 server that cannot look back: nobody resumes."""
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._connections = 0
        self._killed: set[Member] = set()
        self._newest: dict[str, Who] = {}
        """Client → who it was when it was here last."""
        self._away: defaultdict[str, set[Who]] = defaultdict(set)
        """Room → who might resume."""

    async def misbehave(self) -> None:
        """Carry out what is planned by the clock."""
        for at in sorted(self.lies.kills):
            await trio.sleep_until(at)
            members = [member for room in self.rooms.values() for member in room]
            if members:
                member = self._random.choice(members)
                self._killed.add(member)
                await trio.aclose_forcefully(member.stream)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One connection, to its end."""
        self._connections += 1
        if self._connections > 1 and self._lying(self.lies.refuse):
            if self._lying(0.5):
                await stream.receive_some(4096)
                await stream.send_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            await stream.aclose()
            return
        await trio.sleep(self.lies.accept_s)
        try:
            async with trio.open_nursery() as nursery:
                request = await trio_websocket.wrap_server_stream(nursery, stream)
                query = parse_qs(urlsplit(request.path).query)
                room = query["room"][0]
                ws = await request.accept(subprotocol="scalechat.v1" if self.v1 else None)
                send, receive = trio.open_memory_channel[Item](100_000)
                client = query["clientId"][0]
                who = self._newest.get(client) if "since_seq" in query else None
                who = self._newest[client] = who or Who()
                member = Member(room, client, stream, send, nursery, who)
                nursery.start_soon(self._write, ws, receive)
                if self.v1:
                    self._greet(member, query)
                self.rooms[room].append(member)
                arrived, todo = trio.open_memory_channel[tuple[Taken, dict[str, Any]]](100_000)
                nursery.start_soon(self._work, member, todo)
                try:
                    while True:
                        message = json.loads(await ws.get_message())
                        arrived.send_nowait((self._book(member, message), message))
                except trio_websocket.ConnectionClosed as closed:
                    if member not in self._killed and (closed.reason is None or closed.reason.code == 1006):
                        self._excuse(member)
                    raise
                finally:
                    self.rooms[room].remove(member)
                    self._away[room].add(member.who)
                    nursery.cancel_scope.cancel()
        except* (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    def _excuse(self, member: Member) -> None:
        """It went of its own will: what was under way is owed to it when it resumes, and not before."""
        for taken in self.truth.taken:
            who = member.who
            if taken.number > who.highest[taken.publisher] and who in taken.due - taken.got:
                taken.due.discard(who)
                who.excused.append(taken)

    def _book(self, sender: Member, message: dict[str, Any]) -> Taken:
        """It has come: from now on it is owed to whoever is in the room."""
        publisher = message["id"].partition("-")[0] if self.v1 else message["clientId"]
        self._counts[publisher] += 1
        number = int(message["id"].partition("-")[2]) if self.v1 else self._counts[publisher]
        taken = Taken(publisher, number, {member.who for member in self.rooms[sender.room]}, acked=not self.v1)
        self.truth.taken.append(taken)
        for who in self._away[sender.room]:
            who.excused.append(taken)
        return taken

    async def _work(self, sender: Member, todo: trio.MemoryReceiveChannel[tuple[Taken, dict[str, Any]]]) -> None:
        async for taken, message in todo:
            await self.take(sender, taken, message)

    async def take(self, sender: Member, taken: Taken, message: dict[str, Any]) -> None:
        """Broadcast it; subclasses may wait before."""
        for begin, end in self.lies.stalls:
            if begin <= trio.current_time() < end:
                await trio.sleep_until(end)
        self._broadcast(sender, taken, message)

    def _broadcast(self, sender: Member, taken: Taken, message: dict[str, Any]) -> None:
        if self._lying(self.lies.reject):
            error = {"type": "error", "code": "busy", "detail": "not now", "id": message["id"]}
            sender.say(error, partial(setattr, taken, "rejected", True))
            return
        if self._lying(self.lies.swallow):
            return
        afterwards: Callable[[], None] = lambda: None  # noqa: E731
        if self.v1:
            seq = len(self._logs[sender.room]) + 1
            if self._lying(self.lies.renege):
                error = {"type": "error", "code": "busy", "detail": "not now", "id": message["id"]}
                refuse = partial(sender.say, error, partial(setattr, taken, "rejected", True))
                if self._lying(0.5):
                    afterwards = refuse
                else:
                    refuse()
            elif not self._lying(self.lies.mute):
                ack = {"type": "ack", "id": message["id"], "room": sender.room, "seq": seq}
                sender.say(ack, partial(setattr, taken, "acked", True))
            place = {"room": sender.room, "seq": seq, "ts": 0, "id": message["id"]}
            message = {"clientId": sender.client_id, "Message": message["Message"], **place}
            self._logs[sender.room].append((taken, message))
        # One text for everybody, as every broadcast server sends it.
        text = json.dumps(message)
        for member in self.rooms[sender.room]:
            self._deliver(member, taken, text, message)
        afterwards()

    def _deliver(self, member: Member, taken: Taken, text: str, message: dict[str, Any]) -> None:
        lies = self.lies
        item = (text, partial(self._note, member, taken))
        if self._lying(lies.phantom):
            member.say(message | {"Message": self._invented(str(message["Message"]))}, self._note_phantom)
        if self._lying(lies.delay):
            member.send.send_nowait(self._random.uniform(*LATE_S))
        if self._lying(lies.drop):
            return
        if self._lying(lies.corrupt):
            member.say(message | {"Message": self._damaged(str(message["Message"]))}, self._note_damage)
        elif self._lying(lies.tear):
            member.send.send_nowait((text[: -self._random.randint(1, 9)], self._note_damage))
        elif self._lying(lies.reorder):
            member.nursery.start_soon(self._late, member, item)
        else:
            member.send.send_nowait(item)
            if self._lying(lies.duplicate):
                if self._lying(0.5):
                    member.send.send_nowait(item)
                else:
                    member.nursery.start_soon(self._late, member, item)

    async def _late(self, member: Member, item: Item) -> None:
        await trio.sleep(self._random.uniform(*LATE_S))
        member.send.send_nowait(item)

    def _damaged(self, text: str) -> str:
        at = self._random.randrange(len(text))
        return text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]

    def _invented(self, text: str) -> str:
        header = payload.decode(text)
        assert isinstance(header, payload.Header)
        others = (
            header._replace(sequence=header.sequence + 1_000_000),
            header._replace(sequence=0),
            header._replace(publisher=header.publisher + 1_000_000),
            header._replace(run=header.run ^ 1),
        )
        return payload.encode(self._random.choice(others), len(text)).decode()

    async def _write(
        self,
        ws: trio_websocket.WebSocketConnection,
        items: trio.MemoryReceiveChannel[Item],
    ) -> None:
        async for item in items:
            if isinstance(item, float):
                await trio.sleep(item)
                continue
            text, note = item
            await ws.send_message(text)
            note()  # Afterwards: it may have been cut in this very moment.

    def _note(self, member: Member, taken: Taken) -> None:
        """A whole delivery leaves."""
        who = member.who
        if who not in taken.due:
            return  # It joined after the message had come: early, and promised to nobody.
        if who in taken.got:
            self.truth.duplicated += 1
            return
        taken.got.add(who)
        if taken.number < who.highest[taken.publisher]:
            self.truth.reordered += 1
        who.highest[taken.publisher] = max(taken.number, who.highest[taken.publisher])

    def _note_damage(self) -> None:
        self.truth.corrupted += 1

    def _note_phantom(self) -> None:
        self.truth.phantom += 1

    def _greet(self, member: Member, query: dict[str, list[str]]) -> None:
        limits = {"message_size_bytes": 65536, "message_rate_per_s": 0}
        welcome = {"type": "welcome", "clientId": member.client_id, "session": "s", "protocol": "scalechat.v1"}
        member.say(welcome | {"limits": limits, "heartbeat_ms": 25_000})
        log = self._logs[member.room]
        recovered = "since_seq" in query and not self.forgetful
        replay = log[int(query["since_seq"][0]) :] if recovered else []
        self._away[member.room].discard(member.who)
        for taken in member.who.excused:
            taken.due.add(member.who)
        member.who.excused.clear()
        for taken, _message in replay:
            self._note(member, taken)
        joined = {"type": "joined", "room": member.room, "epoch": "e", "seq": len(log), "members": 1}
        member.say(joined | {"recovered": recovered, "history": [message for _taken, message in replay]})

    def _lying(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability


def described(lies: Lies) -> str:
    """As `lies_of` reads it."""
    return json.dumps(asdict(lies))


def lies_of(text: str) -> Lies:
    """The mirror of `described`."""
    return Lies(**json.loads(text))
