"""Two-line messaging between servers as one first writes it: publish to Redis, send on what Redis publishes.

It is here to be seen failing: ``program = "scalechat.experiment.naive_relay"`` in an experiment with a Redis. What is
said while Redis is away was published to nobody, and nobody is told.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from typing import Final
from urllib.parse import parse_qs, urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, WebSocketServer, serve_websocket

RETRY_S: Final = 0.1
CHUNK_BYTES: Final = 64 * 1024


class Relay:
    """One connection to Redis for both directions, in its inline commands' and replies' plain form."""

    def __init__(self, redis: str) -> None:
        self._redis = redis
        self._publisher: trio.SocketStream | None = None
        self._members: defaultdict[bytes, set[WebSocketConnection]] = defaultdict(set)
        self._publishing = trio.Lock()

    async def handle(self, request: WebSocketRequest) -> None:
        connection = await request.accept()
        room = parse_qs(urlsplit(request.path).query)["room"][0].encode()
        self._members[room].add(connection)
        try:
            while True:
                message = await connection.get_message()
                await self._publish(room, message.encode() if isinstance(message, str) else message)
        except ConnectionClosed:
            pass
        finally:
            self._members[room].discard(connection)

    async def _publish(self, room: bytes, message: bytes) -> None:
        async with self._publishing:
            try:
                if self._publisher is None:
                    self._publisher = await trio.open_unix_socket(self._redis)
                await self._publisher.send_all(_command(b"PUBLISH", room, message))
                heard = await self._publisher.receive_some(CHUNK_BYTES)
            except (OSError, trio.BrokenResourceError):  # fire and forget: this is the mistake
                heard = b""
            if not heard:
                await self._hang_up()

    async def _hang_up(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.aclose()

    async def run(self) -> None:
        """Send on what Redis publishes, until cancelled; ask again when it went away."""
        try:
            while True:
                with contextlib.suppress(OSError, trio.BrokenResourceError):
                    async with await trio.open_unix_socket(self._redis) as stream:
                        await stream.send_all(_command(b"PSUBSCRIBE", b"*"))
                        await self._send_on(stream)
                await trio.sleep(RETRY_S)
        finally:
            await self._hang_up()  # cancelled as well, a socket closes without waiting

    async def _send_on(self, stream: trio.SocketStream) -> None:
        held = b""
        async for chunk in stream:
            held += chunk
            while (found := push_of(held)) is not None:
                (kind, *rest), held = found
                if kind == b"pmessage":
                    _pattern, room, message = rest
                    for member in tuple(self._members[room]):
                        with contextlib.suppress(ConnectionClosed):
                            await member.send_message(message.decode())


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def push_of(held: bytes) -> tuple[list[bytes], bytes] | None:
    """The first array of `held` and what follows it; None while it is not whole."""
    head, end, rest = held.partition(b"\r\n")
    words = []
    for _ in range(int(head[1:]) if end else 0):
        length, end, rest = rest.partition(b"\r\n")
        if not end:
            return None
        if length[:1] == b":":
            words.append(length[1:])
            continue
        size = int(length[1:])
        if len(rest) < size + 2:
            return None
        words.append(rest[:size])
        rest = rest[size + 2 :]
    return (words, rest) if words else None


async def main(port: int, redis: str) -> None:
    """Serve on loopback until cancelled."""
    relay = Relay(redis)
    async with trio.open_nursery() as nursery:
        server: WebSocketServer = await nursery.start(serve_websocket, relay.handle, "127.0.0.1", port, None)
        nursery.start_soon(relay.run)
        print(f"listening on {server.port}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", required=True)
    given = parser.parse_args()
    trio.run(main, given.port, given.redis)
