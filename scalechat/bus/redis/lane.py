"""A connection for one task in a hurry: it writes its commands, and reads until it has their answers.

coredis' connection hands every call to a task that writes, and every answer to one that reads and tells the caller: six
scheduler hops and 0.15 ms, paid for every batch of messages that goes out or comes in. Here the caller does it all by
itself. The protocol is still read by coredis' parser (RESP3, compiled).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

import trio
from coredis.connection import UnixDomainSocketLocation
from coredis.exceptions import RedisError
from coredis.parser import NotEnoughData, Parser

from scalechat.bus.redis.address import ANSWER_S, CONNECT_S, Address
from scalechat.bus.redis.link import ELSEWHERE, Command, Elsewhere, Link, LinkDown, Reply

RECEIVE_BYTES: Final = 256 * 1024
"""One read: a whole answer as a rule."""

_Broken = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Lane(Link):
    """One call at a time. One that is cancelled, or not answered in time, costs the connection: whatever it says later
    would be taken for the answer to something else."""

    def __init__(self, address: Address, name: str, changed: Callable[[Link, str | None], None]) -> None:
        super().__init__(address, name, changed)
        self._stream: trio.abc.Stream | None = None
        self._parser = Parser()
        self._dropped = trio.Event()
        self._client_id = 0

    @property
    def up(self) -> bool:
        return self._stream is not None

    @property
    def client_id(self) -> int:
        return self._client_id if self.up else 0

    def drop(self) -> None:
        self._stream = None
        self._dropped.set()

    async def call(self, *command: bytes | str | int, answer_s: float = ANSWER_S) -> Reply:
        (reply,) = await self.call_all([command], answer_s)
        if isinstance(reply, ELSEWHERE):
            raise Elsewhere(str(reply))
        if isinstance(reply, RedisError):
            raise reply
        return reply

    async def call_all(self, commands: Sequence[Command], answer_s: float = ANSWER_S) -> list[Reply | RedisError]:
        if (stream := self._stream) is None:
            raise LinkDown
        try:
            with trio.fail_after(answer_s):
                return await _exchange(stream, self._parser, commands)
        except BaseException as error:
            if self._stream is stream:
                self.drop()
            if isinstance(error, (trio.TooSlowError, *_Broken)):
                raise LinkDown from error
            raise

    async def _connect_once(self) -> str:
        self._dropped = trio.Event()
        self._parser = Parser()
        try:
            with trio.fail_after(CONNECT_S):
                stream = await _open(self.address)
                try:
                    self._client_id = await self._introduce(stream)
                except BaseException:
                    await trio.aclose_forcefully(stream)
                    raise
        except (RedisError, trio.TooSlowError, *_Broken) as error:
            return self._note_failed(error)
        try:
            self._stream = stream
            self._note_up()
            await self._dropped.wait()
        finally:
            self._stream = None
            await trio.aclose_forcefully(stream)
        return "the connection was lost"

    async def _introduce(self, stream: trio.abc.Stream) -> int:
        address = self.address
        user = (b"AUTH", address.username or "default", address.password) if address.password is not None else ()
        hello: Command = (b"HELLO", 3, *user, b"SETNAME", self._name)
        for reply in (replies := await _exchange(stream, self._parser, [hello, (b"SELECT", address.db)])):
            if isinstance(reply, RedisError):
                raise reply
        return cast("dict[bytes, int]", replies[0])[b"id"]


async def _open(address: Address) -> trio.abc.Stream:
    location = address.location
    if isinstance(location, UnixDomainSocketLocation):
        return await trio.open_unix_socket(location.path)
    stream: trio.abc.Stream = await trio.open_tcp_stream(location.host, location.port)
    if address.tls is not None:
        stream = trio.SSLStream(stream, address.tls, server_hostname=location.host, https_compatible=False)
    return stream


async def _exchange(stream: trio.abc.Stream, parser: Parser, commands: Sequence[Command]) -> list[Reply | RedisError]:
    await stream.send_all(b"".join(map(_packed, commands)))
    replies: list[Reply | RedisError] = []
    while len(replies) < len(commands):
        data = await stream.receive_some(RECEIVE_BYTES)
        if not data:
            raise trio.BrokenResourceError
        parser.feed(bytes(data))
        while not isinstance(answer := parser.parse(), NotEnoughData):
            replies.append(cast("Reply | RedisError", answer[1]))
    return replies


def _packed(command: Command) -> bytes:
    """RESP: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        said = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(said), said))
    return b"".join(parts)
