"""One connection to Redis that comes back by itself.

coredis' connection does the protocol and pipelines whatever many tasks ask at once. Its pool is not used: a pool loses
a slot with each connection that dies while lent out, and everything here needs just one connection, or one of its own
for blocking reads. Nor is its retry policy: it repeats what may have been done already.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import trio
from anyio.abc import TaskStatus
from coredis.connection import BaseConnection
from coredis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

from scalechat.bus.redis.address import ANSWER_S, Address

if TYPE_CHECKING:
    from coredis.commands import CommandRequest

BACKOFF_S: Final = (0.1, 1.0)
"""Before the next attempt to connect: doubled from the first to the second, with jitter, so that a Redis that comes
back is not met by all its nodes at once and is used again within a second."""

Reply: TypeAlias = "int | bytes | str | float | bool | list[Reply] | dict[bytes, Reply] | None"
"""What Redis answers, as the parser makes it."""

Command: TypeAlias = tuple[bytes | str | int, ...]


class LinkDown(Exception):
    """There is no connection, or it was lost before the answer came: the call may have been carried out or not."""


class Elsewhere(Exception):
    """This Redis cannot do it now and another one, or the same one in a moment, can."""


ELSEWHERE: Final = (AskError, MovedError, ClusterDownError, TryAgainError, BusyLoadingError, ReadOnlyError)


class Link:
    """`run` keeps the connection; `call` asks. `changed` is told when it goes up (None) or down (why)."""

    def __init__(self, address: Address, name: str, changed: Callable[[Link, str | None], None]) -> None:
        self.address = address
        self._name = name
        self._changed = changed
        self._connection: BaseConnection | None = None
        self._came_up = trio.Event()
        self.connects = 0

    @property
    def up(self) -> bool:
        return self._connection is not None

    @property
    def client_id(self) -> int:
        """What Redis calls this connection; 0 while there is none."""
        return (self._connection.client_id or 0) if self._connection is not None else 0

    @property
    def server_version(self) -> str:
        return (self._connection.server_version or "") if self._connection is not None else ""

    async def run(self) -> None:
        """Connect again and again, until cancelled."""
        wait_s = BACKOFF_S[0]
        while True:
            connects = self.connects
            why = await self._connect_once()
            self._changed(self, why)
            if self.connects > connects:
                wait_s = BACKOFF_S[0]
            await trio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, BACKOFF_S[1])

    async def wait_up(self) -> None:
        """Wait until there is a connection."""
        while self._connection is None:
            await self._came_up.wait()

    def drop(self) -> None:
        """Give the connection up: it does not answer, or is not to be trusted."""
        if self._connection is not None:
            self._connection.invalidate()

    async def call(self, *command: bytes | str | int, answer_s: float = ANSWER_S) -> Reply:
        """Ask Redis one thing.

        Raises `LinkDown`, `Elsewhere`, and coredis' own `RedisError` when Redis refuses. When cancelled, the command
        may have been carried out.
        """
        connection = self._connection
        if connection is None:
            raise LinkDown
        name, *args = command
        assert isinstance(name, bytes)
        try:
            return await connection.create_request(name, *args, timeout=answer_s)  # type: ignore[return-value]
        except TimeoutError as error:
            connection.invalidate()  # Whatever it says later would be taken for the answer to something else.
            raise LinkDown from error
        except ELSEWHERE as error:
            raise Elsewhere(str(error)) from error
        except ConnectionError as error:
            raise LinkDown from error

    async def call_all(self, commands: Sequence[Command], answer_s: float = ANSWER_S) -> list[Reply | RedisError]:
        """Ask several things in one write; an error is the answer to its command. Raises `LinkDown`."""
        connection = self._connection
        if connection is None:
            raise LinkDown
        try:
            asked = cast("list[CommandRequest[Reply]]", [_Asked(command) for command in commands])
            batch = connection.create_request_batch(asked, timeout=answer_s)
        except ConnectionError as error:
            raise LinkDown from error
        replies = await batch
        for reply in replies:
            if isinstance(reply, TimeoutError):
                connection.invalidate()
            if isinstance(reply, TimeoutError | ConnectionError):
                raise LinkDown from reply
        return cast("list[Reply | RedisError]", replies)

    async def _connect_once(self) -> str:
        """Connect and stay until the connection ends. Returns why it ended."""
        connection = self.address.connection(self._name)
        try:
            await connection.run(task_status=_Started(lambda: self._use(connection)))
        except AuthenticationError as error:
            return f"it does not accept the user name or password ({error})"
        except RedisError as error:
            return _why(error)
        finally:
            self._connection = None
            _close_buffers(connection)
        return "the connection was lost"

    def _use(self, connection: BaseConnection) -> None:
        self._connection = connection
        self.connects += 1
        self._came_up.set()
        self._came_up = trio.Event()
        self._changed(self, None)


def _close_buffers(connection: BaseConnection) -> None:
    """coredis leaves them open when it never got as far as a connection, and anyio warns of each."""
    connection._write_buffer_in.close()
    connection._write_buffer_out.close()
    connection._push_message_buffer_in.close()
    connection._push_message_buffer_out.close()
    connection._streamed_message_buffer_in.close()
    connection._streamed_message_buffer_out.close()


class _Asked:
    """As much of coredis' CommandRequest as a batch looks at."""

    __slots__ = ("decode", "name", "serialized_arguments")

    def __init__(self, command: Command) -> None:
        self.name, *self.serialized_arguments = command
        self.decode = False


class _Started(TaskStatus[None]):
    """Tells that the connection stands, without a nursery just for that."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def started(self, value: None = None) -> None:  # noqa: ARG002  part of the interface
        self._tell()


def _why(error: BaseException) -> str:
    """The innermost reason: what the system said, not what was made of it on the way up."""
    inner = error
    while (cause := inner.__cause__ or getattr(inner, "exceptions", (None,))[0]) is not None:
        inner = cause
    if isinstance(inner, TimeoutError):
        return "it does not answer"
    if isinstance(inner, OSError) and inner.errno is not None and inner.errno > 0:
        return os.strerror(inner.errno)
    return str(inner)
