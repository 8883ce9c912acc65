"""One connection to Redis that comes back by itself.

coredis' connection does the protocol and pipelines whatever many tasks ask at once. Its pool is not used: a pool loses
a slot with each connection that dies while lent out, and everything here needs just one connection, or one of its own
for blocking reads. Nor is its retry policy: it repeats what may have been done already.
"""

from __future__ import annotations

import os
import random
import ssl
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
        self._news = trio.Event()
        """It came up, or is turned away."""
        self.connects = 0
        self.turned_away = False
        """Whether the last attempt failed for a reason that time alone does not mend: a password, a certificate."""

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
            await self._news.wait()

    async def wait_tried(self) -> None:
        """Wait until there is a connection, or it is turned away."""
        while self._connection is None and not self.turned_away:
            await self._news.wait()

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
        self.turned_away = False
        try:
            await connection.run(task_status=_Started(lambda: self._use(connection)))
        except RedisError as error:
            cause = _innermost(error)
            self.turned_away = isinstance(cause, AuthenticationError | ssl.SSLCertVerificationError)
            if self.turned_away:
                self._tell_news()
            return _why(cause, self.address)
        finally:
            self._connection = None
            _close_buffers(connection)
        return "the connection was lost"

    def _use(self, connection: BaseConnection) -> None:
        self._connection = connection
        self.connects += 1
        self._tell_news()
        self._changed(self, None)

    def _tell_news(self) -> None:
        self._news.set()
        self._news = trio.Event()


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


def _innermost(error: BaseException) -> BaseException:
    """What the system said, not what was made of it on the way up."""
    while (cause := error.__cause__ or getattr(error, "exceptions", (None,))[0]) is not None:
        error = cause
    return error


def _why(cause: BaseException, address: Address) -> str:
    match cause:
        case AuthenticationError() if address.password is None:
            return "it asks for a password"
        case AuthenticationError():
            return f"it does not accept the user name or password ({str(cause).rstrip('.')})"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted ({cause.verify_message}); ?ca=FILE names a private authority"
        case ssl.SSLError():  # Its errno is none of the system's.
            return f"no TLS with it ({cause.reason})"
        case TimeoutError():
            return "it does not answer" if address.tls is None else "it does not answer, or not with TLS"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
    return str(cause)
