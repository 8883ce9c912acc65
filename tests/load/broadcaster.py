"""A small broadcast server for tests: plain or v1, honest or lying by a seed, and it knows what it did.

It speaks through trio-websocket over any stream. Its truth is counted where it acts, from its own point of view, so a
test can hold the load client's ledger against it. It shares no code with the product but the words of the protocol.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import trio
import trio_websocket


@dataclass(frozen=True, kw_only=True)
class Lies:
    """Probabilities for each delivery (and, for `reject`, each publication), and stalls of everything."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    reject: float = 0.0
    stalls: Sequence[tuple[float, float]] = ()
    """(from, until) in seconds of Trio's clock: what arrives meanwhile is broadcast at the end."""
    seed: int = 0


@dataclass
class Truth:
    """What was really done."""

    published: int = 0
    rejected: int = 0
    due: int = 0
    """Deliveries that an honest server would have made."""
    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0


@dataclass(eq=False)
class Member:
    """One connection. `held` is a message kept back until its publisher's next one went out."""

    room: str
    client_id: str
    send: trio.MemorySendChannel[str]
    held: dict[str, str] = field(default_factory=dict)


class Broadcaster:
    """Every message goes to every member of its room, its sender included, in the same order; or so it says."""

    def __init__(self, *, v1: bool = False, lies: Lies | None = None) -> None:
        self.v1 = v1
        self.lies = lies or Lies()
        self.truth = Truth()
        self.rooms: defaultdict[str, list[Member]] = defaultdict(list)
        self._random = random.Random(self.lies.seed)
        self.logs: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
        self.forgetful = False
        """A v1 server that has no log any more: nobody can resume."""

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One connection, to its end."""
        try:
            async with trio.open_nursery() as nursery:
                request = await trio_websocket.wrap_server_stream(nursery, stream)
                query = parse_qs(urlsplit(request.path).query)
                room = query["room"][0]
                ws = await request.accept(subprotocol="scalechat.v1" if self.v1 else None)
                send, receive = trio.open_memory_channel[str](10_000)
                member = Member(room, query["clientId"][0], send)
                nursery.start_soon(self._write, ws, receive)
                if self.v1:
                    self._greet(member, query)
                self.rooms[room].append(member)
                try:
                    while True:
                        await self._take(member, str(await ws.get_message()))
                finally:
                    self.rooms[room].remove(member)
                    nursery.cancel_scope.cancel()
        except* (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    def release(self) -> None:
        """Send everything that is still held back; nothing overtook it, so this is no reordering."""
        for members in self.rooms.values():
            for member in members:
                for text in member.held.values():
                    member.send.send_nowait(text)
                member.held.clear()

    async def _write(self, ws: trio_websocket.WebSocketConnection, texts: trio.MemoryReceiveChannel[str]) -> None:
        async for text in texts:
            await ws.send_message(text)

    def _greet(self, member: Member, query: dict[str, list[str]]) -> None:
        limits = {"message_size_bytes": 65536, "message_rate_per_s": 0}
        welcome = {"type": "welcome", "clientId": member.client_id, "session": "s", "protocol": "scalechat.v1"}
        member.send.send_nowait(json.dumps(welcome | {"limits": limits, "heartbeat_ms": 25_000}))
        log = self.logs[member.room]
        recovered = query.get("since_epoch") == ["e"] and not self.forgetful
        missed = log[int(query["since_seq"][0]) :] if recovered else []
        joined = {"type": "joined", "room": member.room, "epoch": "e", "seq": len(log), "members": 1}
        joined |= {"recovered": recovered, "history": missed}
        member.send.send_nowait(json.dumps(joined))

    async def _take(self, sender: Member, text: str) -> None:
        for begin, end in self.lies.stalls:
            if begin <= trio.current_time() < end:
                await trio.sleep_until(end)
        self.truth.published += 1
        message = json.loads(text)
        if self._lying(self.lies.reject):
            self.truth.rejected += 1
            error = {"type": "error", "code": "busy", "detail": "not now", "id": message["id"]}
            sender.send.send_nowait(json.dumps(error))
            return
        if self.v1:
            seq = len(self.logs[sender.room]) + 1
            message = {
                "clientId": sender.client_id,
                "Message": message["Message"],
                "room": sender.room,
                "seq": seq,
                "ts": 0,
                "id": message["id"],
            }
            self.logs[sender.room].append(message)
            sender.send.send_nowait(json.dumps({"type": "ack", "id": message["id"], "room": sender.room, "seq": seq}))
        # One text for everybody, as every broadcast server sends it.
        text = json.dumps(message)
        publisher = message["id"].partition("-")[0] if self.v1 else message["clientId"]
        for member in self.rooms[sender.room]:
            self._deliver(member, publisher, text, message)

    def _deliver(self, member: Member, publisher: str, text: str, message: dict[str, object]) -> None:
        truth = self.truth
        truth.due += 1
        held = member.held.pop(publisher, None)
        if self._lying(self.lies.drop):
            truth.dropped += 1
        elif self._lying(self.lies.corrupt):
            truth.corrupted += 1
            body = str(message["Message"])
            at = self._random.randrange(len(body))
            damaged = body[:at] + ("x" if body[at] != "x" else "y") + body[at + 1 :]
            member.send.send_nowait(json.dumps(message | {"Message": damaged}))
        elif held is None and self._lying(self.lies.reorder):
            member.held[publisher] = text
            return
        else:
            member.send.send_nowait(text)
            if held is not None:
                truth.reordered += 1
            if self._lying(self.lies.duplicate):
                truth.duplicated += 1
                member.send.send_nowait(text)
        if held is not None:
            member.send.send_nowait(held)

    def _lying(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability
