"""A connection for what many tasks ask at once: coredis does the protocol and pipelines it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from anyio.abc import TaskStatus
from coredis.connection import BaseConnection
from coredis.exceptions import ConnectionError, RedisError

from scalechat.bus.redis.address import ANSWER_S, Address
from scalechat.bus.redis.link import ELSEWHERE, Command, Elsewhere, Link, LinkDown, Reply

if TYPE_CHECKING:
    from coredis.commands import CommandRequest


class Asking(Link):
    """See the module's docstring."""

    def __init__(self, address: Address, name: str, changed: Callable[[Link, str | None], None]) -> None:
        super().__init__(address, name, changed)
        self._connection: BaseConnection | None = None

    @property
    def up(self) -> bool:
        return self._connection is not None

    @property
    def client_id(self) -> int:
        return (self._connection.client_id or 0) if self._connection is not None else 0

    @property
    def server_version(self) -> str:
        """Empty while there is no connection."""
        return (self._connection.server_version or "") if self._connection is not None else ""

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()

    async def call(self, *command: bytes | str | int, answer_s: float = ANSWER_S) -> Reply:
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
        connection = self.address.connection(self._name)
        try:
            await connection.run(task_status=_Started(lambda: self._use(connection)))
        except RedisError as error:
            return self._note_failed(error)
        finally:
            self._connection = None
            _close_buffers(connection)
        return "the connection was lost"

    def _use(self, connection: BaseConnection) -> None:
        self._connection = connection
        self._note_up()


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
