"""A small broadcast server for tests: plain or v1, honest or faulty by a seed, and it knows what it did.

It speaks through trio-websocket over any stream. What it takes and what leaves it is entered in its `Truth`, so a test
can hold the load client's ledger against that. Apart from the header of a phantom it shares no code with the product
but the words of the protocol.
"""

from __future__ import annotations

import json
import random
import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import trio
import trio_websocket

from scalechat.load import payload

from .lies import Lies
from .truth import Taken, Truth, Who

Item = tuple[str, Callable[[], None]] | float | None
"""A frame and what to note when it leaves, a pause in seconds, or a Close."""
LATE_S: Final = (0.01, 0.7)
"""What comes late comes so much later."""
SILENCE_S: Final = 0.8
CLOSE: Final = b"\x88\x02" + struct.pack(">H", 1001)
"""By hand: trio-websocket would no longer hear what the client says before it answers."""


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
        if not v1:
            self.lies = self.lies.of_plain
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

    async def misbehave(self) -> None:
        """Carry out what is planned by the clock."""
        lies = self.lies
        planned = [(lies.kills, self._cut), (lies.closes, self._close), (lies.forgets, self._forget)]
        for at, do in sorted(((at, do) for times, do in planned for at in times), key=itemgetter(0)):
            await trio.sleep_until(at)
            await do()

    async def wait_for_silence(self) -> None:
        """Carry out what is planned for when nothing is under way, so that both ends agree on what came before it."""
        taken = 0
        while not taken or len(self.truth.taken) > taken:
            taken = len(self.truth.taken)
            await trio.sleep(SILENCE_S)
        for _ in range(self.lies.in_silence):
            await self._cut()
            await self._close()

    async def _cut(self) -> None:
        member = self._anybody()
        if member is not None:
            self._killed.add(member)
            await trio.aclose_forcefully(member.stream)

    async def _close(self) -> None:
        member = self._anybody()
        if member is not None:
            member.send.send_nowait(None)

    async def _forget(self) -> None:
        self._logs.clear()

    def _anybody(self) -> Member | None:
        members = [member for room in self.rooms.values() for member in room]
        return self._random.choice(members) if members else None

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
                nursery.start_soon(self._write, member, ws, receive)
                if self.v1:
                    self._greet(member, query)
                self.rooms[room].append(member)
                arrived, todo = trio.open_memory_channel[tuple[Taken, dict[str, Any]]](100_000)
                nursery.start_soon(self._work, member, todo)
                without_a_word = True
                try:
                    while True:
                        message = json.loads(await ws.get_message())
                        arrived.send_nowait((self._book(member, message), message))
                except trio_websocket.ConnectionClosed as closed:
                    without_a_word = closed.reason is None or closed.reason.code == 1006
                    raise
                finally:
                    self.rooms[room].remove(member)
                    self.truth.leave(room, who, of_own_will=without_a_word and member not in self._killed)
                    nursery.cancel_scope.cancel()
        except* (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    def _book(self, sender: Member, message: dict[str, Any]) -> Taken:
        """It has come: from now on it is owed to whoever is in the room."""
        publisher = message["id"].partition("-")[0] if self.v1 else message["clientId"]
        self._counts[publisher] += 1
        number = int(message["id"].partition("-")[2]) if self.v1 else self._counts[publisher]
        there = [member.who for member in self.rooms[sender.room]]
        return self.truth.take(sender.room, publisher, number, there, acked=not self.v1)

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
        lies = self.lies
        error = {"type": "error", "code": "busy", "detail": "not now", "id": message.get("id")}
        refuse = partial(sender.say, error, partial(setattr, taken, "rejected", True))
        if self._lying(lies.reject):
            refuse()
            return
        if self._lying(lies.swallow):
            return
        afterwards: Callable[[], None] = lambda: None  # noqa: E731
        if self.v1:
            log = self._logs[sender.room]
            place = {"room": sender.room, "seq": len(log) + 1, "ts": 0, "id": message["id"]}
            ack = {"type": "ack", "id": message["id"], "room": sender.room, "seq": place["seq"]}
            answer = partial(sender.say, ack, partial(setattr, taken, "acked", True))
            if self._lying(lies.renege):
                answer, late = refuse, self._lying(0.5)
            else:
                late = self._lying(lies.ack_late)
            if late:
                afterwards = answer
            elif answer is refuse or not self._lying(lies.mute):
                answer()
            message = {"clientId": sender.client_id, "Message": message["Message"], **place}
            log.append((taken, message))
        if not self._lying(lies.ack_only):
            self._send_out(sender, taken, message)
        afterwards()

    def _send_out(self, sender: Member, taken: Taken, message: dict[str, Any]) -> None:
        # One text for everybody, as every broadcast server sends it.
        text = json.dumps(message)
        for member in self.rooms[sender.room]:
            self._deliver(member, taken, text, message)
        if self._lying(self.lies.astray):
            for room, members in self.rooms.items():
                if room != sender.room and members:
                    self._random.choice(members).send.send_nowait((text, self._note_phantom))

    def _deliver(self, member: Member, taken: Taken, text: str, message: dict[str, Any]) -> None:
        lies = self.lies
        item = (text, partial(self.truth.deliver, member.who, taken))
        if self._lying(lies.phantom):
            member.say(message | {"Message": self._invented(str(message["Message"]))}, self._note_phantom)
        if self._lying(lies.strange_id):
            member.say(message | {"id": f"{taken.publisher}-{taken.number + 1_000_000}"}, self._note_phantom)
        if self._lying(lies.delay):
            member.send.send_nowait(self._random.uniform(*LATE_S))
        if self._lying(lies.drop):
            return
        if self._lying(lies.corrupt):
            member.say(message | {"Message": self._damaged(str(message["Message"]))}, self._note_damage)
        elif self._lying(lies.tear):
            member.send.send_nowait((text[: -self._random.randint(1, 9)], self._note_damage))
        elif len(self._logs[member.room]) > 1 and self._lying(lies.swap):
            _taken, other = self._random.choice(self._logs[member.room][:-1])
            member.say(message | {"Message": other["Message"]}, self._note_damage)
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
        member: Member,
        ws: trio_websocket.WebSocketConnection,
        items: trio.MemoryReceiveChannel[Item],
    ) -> None:
        async for item in items:
            if item is None:
                await member.stream.send_all(CLOSE)
                return
            if isinstance(item, float):
                await trio.sleep(item)
                continue
            text, note = item
            await ws.send_message(text)
            note()  # Afterwards: it may have been cut in this very moment.

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
        replay = log[max(0, int(query["since_seq"][0]) - self.lies.rewind) :] if recovered else []
        self.truth.resume(member.room, member.who)

        def note() -> None:
            for taken, _message in replay:
                self.truth.deliver(member.who, taken)

        joined = {"type": "joined", "room": member.room, "epoch": "e", "seq": len(log), "members": 1}
        history = [message for _taken, message in replay]
        member.say(joined | {"recovered": recovered, "history": history}, note)

    def _lying(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability
