"""A scripted v1 server at the other end of memory streams: each test says line by line what it does."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import msgspec
import trio
from trio.testing import memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from scalechat.client.dial import Address
from scalechat.client.errors import Unreachable
from scalechat.wire.codec import decode_command, encode
from scalechat.wire.messages import (
    SUBPROTOCOL,
    Ack,
    Command,
    Join,
    Joined,
    Limits,
    Publication,
    Publish,
    ServerSays,
    Welcome,
)


def publication(seq: int, text: str = "", *, room: str = "global", by: str = "bob") -> Publication:
    return Publication(client_id=by, text=text or f"text {seq}", room=room, seq=seq, ts_unix_ms=1_000 * seq)


def raw(*messages: Publication) -> list[msgspec.Raw]:
    return [msgspec.Raw(encode(message)) for message in messages]


class Peer:
    """One accepted connection, seen from the server."""

    def __init__(self, websocket: WebSocketConnection, stream: trio.abc.Stream, query: dict[str, list[str]]) -> None:
        self.query = query
        self._websocket = websocket
        self._stream = stream

    async def say(self, said: Publication | ServerSays) -> None:
        await self._websocket.send_message(encode(said).decode())

    async def say_text(self, text: str) -> None:
        await self._websocket.send_message(text)

    async def welcome(self, *, heartbeat_ms: int = 25_000, message_size_bytes: int = 65_536) -> None:
        await self.say(
            Welcome(
                client_id=self.query.get("clientId", ["guest"])[0],
                session="s",
                protocol=SUBPROTOCOL,
                limits=Limits(message_size_bytes, 100.0),
                heartbeat_ms=heartbeat_ms,
            )
        )

    async def asked(self) -> Command:
        text = await self._websocket.get_message()
        return decode_command(text.encode() if isinstance(text, str) else text)

    async def asked_to_join(self) -> Join:
        command = await self.asked()
        assert isinstance(command, Join)
        return command

    async def asked_to_publish(self) -> Publish:
        command = await self.asked()
        assert isinstance(command, Publish)
        return command

    async def let_in(self, *, epoch: str = "e1", seq: int = 0, past: tuple[Publication, ...] = ()) -> Join:
        """Welcome the client and answer its first join, as a room whose log ends at `seq`."""
        await self.welcome()
        join = await self.asked_to_join()
        await self.admit(join, epoch=epoch, seq=seq, past=past)
        return join

    async def admit(
        self,
        join: Join,
        *,
        epoch: str = "e1",
        seq: int = 0,
        past: tuple[Publication, ...] = (),
        recovered: bool = False,
    ) -> None:
        await self.say(
            Joined(id=join.id, room=join.room, epoch=epoch, seq=seq, members=1, recovered=recovered, history=raw(*past))
        )

    async def acknowledge(self, command: Publish, seq: int) -> None:
        await self.say(Ack(id=command.id, room=command.room, seq=seq))

    async def close(self, code: int, reason: str = "") -> None:
        await self._websocket.aclose(code, reason)

    async def closed(self) -> tuple[int, str]:
        """Wait until the client is gone; return its code and reason."""
        with suppress(ConnectionClosed):
            while True:
                await self._websocket.get_message()
        reason = self._websocket.closed
        assert reason is not None
        return reason.code, reason.reason or ""

    async def drop(self) -> None:
        """Cut the wire without a word."""
        await trio.aclose_forcefully(self._stream)


class MemoryServer:
    """Gives every connection attempt of `open_chat(connect=server.connect)` to `accept`.

    `unreachable` makes attempts fail; `attempts_at_s` notes when each was made.
    """

    def __init__(self) -> None:
        self.unreachable = False
        self.attempts_at_s: list[float] = []
        self._waiting_in, self._waiting_out = trio.open_memory_channel[trio.abc.Stream](16)

    async def connect(self, address: Address) -> trio.abc.Stream:
        self.attempts_at_s.append(trio.current_time())
        if self.unreachable:
            raise Unreachable(f"nothing answers at {address} (connection refused)")
        ours, theirs = memory_stream_pair()
        await self._waiting_in.send(theirs)
        return ours

    async def next_stream(self) -> trio.abc.Stream:
        return await self._waiting_out.receive()

    @asynccontextmanager
    async def accept(self) -> AsyncGenerator[Peer, None]:
        """Take the next connection and complete its handshake; the wire is cut at the end."""
        stream = await self.next_stream()
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
            websocket = await request.accept(subprotocol=SUBPROTOCOL)
            yield Peer(websocket, stream, query)
            await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()
