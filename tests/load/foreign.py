"""Small honest servers of others' protocols, each as far as a file in configs/targets needs it, over any stream.

What they send and expect follows those protocols' own documents and shares nothing with the target files: a client that
does not answer a ping, beat its heart or keep the order of the handshake is turned out.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trio
import trio_websocket

PATIENCE_S = 2.0
"""A client that owes a sign of life has so long."""


class Guest:
    """One connection, from the server's side."""

    def __init__(self, ws: trio_websocket.WebSocketConnection, query: dict[str, list[str]]) -> None:
        self.query = query
        self.patience = trio.CancelScope()
        self._ws = ws
        self._out, self._to_send = trio.open_memory_channel[str](100_000)

    def say(self, text: str) -> None:
        self._out.send_nowait(text)

    async def write(self) -> None:
        async for text in self._to_send:
            await self._ws.send_message(text)


class Server(ABC):
    """Rooms, and one protocol."""

    path: str

    def __init__(self) -> None:
        self.rooms: defaultdict[str, list[Guest]] = defaultdict(list)
        self.turned_out = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One connection, to its end."""
        try:
            async with trio.open_nursery() as nursery:
                request = await trio_websocket.wrap_server_stream(nursery, stream)
                parts = urlsplit(request.path)
                assert parts.path == self.path
                ws = await request.accept()
                guest = Guest(ws, parse_qs(parts.query))
                nursery.start_soon(guest.write)
                nursery.start_soon(self.live, guest)
                try:
                    with guest.patience:
                        while True:
                            self.hear(guest, str(await ws.get_message()))
                    self.turned_out += 1
                    await ws.aclose(1008)
                finally:
                    for members in self.rooms.values():
                        if guest in members:
                            members.remove(guest)
                    nursery.cancel_scope.cancel()
        except* (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    @abstractmethod
    async def live(self, guest: Guest) -> None:
        """What the server does by itself."""

    @abstractmethod
    def hear(self, guest: Guest, text: str) -> None:
        """A frame has come."""

    def tell(self, room: str, text: str) -> None:
        for member in self.rooms[room]:
            member.say(text)


class PlainHub(Server):
    """Sends on what it gets, to the room of the query."""

    path = "/ws"

    async def live(self, guest: Guest) -> None:
        self.rooms[guest.query["room"][0]].append(guest)

    def hear(self, guest: Guest, text: str) -> None:
        self.tell(guest.query["room"][0], text)


class Phoenix(Server):
    """Channels with the serializer V2."""

    path = "/socket/websocket"
    TIMEOUT_S = 60.0

    async def live(self, guest: Guest) -> None:
        assert guest.query["vsn"] == ["2.0.0"]

    def hear(self, guest: Guest, text: str) -> None:
        guest.patience.deadline = trio.current_time() + self.TIMEOUT_S
        join_ref, ref, topic, event, payload = json.loads(text)
        if event == "phx_join":
            self.rooms[topic].append(guest)
        elif event == "message":
            self.tell(topic, json.dumps([None, None, topic, event, payload]))
        answer = [join_ref, ref, topic, "phx_reply", {"response": {}, "status": "ok"}]
        guest.say(json.dumps(answer, separators=(",", ":")))


class Json(Server):
    """Subscribe, publish, ping."""

    path = "/socket"

    async def live(self, guest: Guest) -> None:
        assert guest.query["user"]
        while True:
            await trio.sleep(1)
            guest.say('{"op":"ping"}')
            guest.patience.deadline = trio.current_time() + PATIENCE_S

    def hear(self, guest: Guest, text: str) -> None:
        said: dict[str, Any] = json.loads(text)
        match said["op"]:
            case "subscribe":
                self.rooms[said["channel"]].append(guest)
                guest.say(json.dumps({"op": "subscribed"}))
            case "publish":
                self.tell(said["channel"], json.dumps({"push": {"channel": said["channel"], "data": said["data"]}}))
                guest.say(json.dumps({"ack": {"id": said["id"]}}))
            case "pong":
                guest.patience.deadline = float("inf")


class SocketIo(Server):
    """Engine.IO v4 under Socket.IO v4, as their protocol documents have it."""

    path = "/socket.io/"

    def __init__(self) -> None:
        super().__init__()
        self.connected: set[Guest] = set()

    async def live(self, guest: Guest) -> None:
        assert guest.query["EIO"] == ["4"]
        guest.say('0{"sid":"x","upgrades":[],"pingInterval":1000,"pingTimeout":2000,"maxPayload":1000000}')
        while True:
            await trio.sleep(1)
            guest.say("2")
            guest.patience.deadline = trio.current_time() + PATIENCE_S

    def hear(self, guest: Guest, text: str) -> None:
        if text == "3":
            guest.patience.deadline = float("inf")
        elif text == "40":
            self.connected.add(guest)
            guest.say('40{"sid":"y"}')
        elif text.startswith("42") and guest in self.connected:
            number, _, rest = text[2:].partition("[")
            event, room, *words = json.loads("[" + rest)
            if event == "join":
                self.rooms[room].append(guest)
            else:
                self.tell(room, "42" + json.dumps(["message", *words], separators=(",", ":")))
            guest.say(f"43{number}[]")
        else:  # an event of a namespace that is not connected
            guest.patience.cancel()
