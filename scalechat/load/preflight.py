"""Before anything is started or written: one connection that shows whether the target can be loaded at all.

A wrong address, a missing server, a refused handshake or the wrong dialect thus ends in one line, and not in a run of a
thousand failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import trio
import trio_websocket

from scalechat.client.shared_reader import SharedReader
from scalechat.client.transport import LaneStream
from scalechat.config import LoadConfig, UsageError, public_values
from scalechat.load.connector import Connector, NoTarget, TcpConnector, ephemeral_ports
from scalechat.load.dialects import Dialect, Entered, Names, Refused, Reply
from scalechat.load.failures import Failure, HungUp, NotOffered, failure_of
from scalechat.load.health import raise_file_limit
from scalechat.load.results import Scalar
from scalechat.wire.frames import masked_frame
from scalechat.wire.messages import BadMessage, Limits, Welcome

GOODBYE_S: Final = 1.0
"""The server has so long to answer our Close: a guest who just hangs up is an error in many a server's log."""
SPARE_FILES: Final = 64
"""What the process has open besides its clients' sockets, and some more."""


def require_files(clients: int) -> None:
    """Raise `UsageError` when the open-file limit cannot hold so many clients; raises the soft limit first."""
    limit = raise_file_limit()
    if 0 <= limit < clients + SPARE_FILES:
        raise UsageError(
            f"{clients} clients need {clients + SPARE_FILES} open files and the limit is {limit}: "
            "raise it (ulimit -Hn) or lower --clients"
        )


def ports_warning(connector: TcpConnector, clients: int) -> str | None:
    """A line, if this machine has too few ports for so many clients. They are tried all the same: an experiment may
    mean it, and a run that lacked ports is invalid by itself."""
    ports = ephemeral_ports()
    lacking = connector.without_port(clients, ports)
    if not lacking:
        return None
    return (
        f"{lacking} of {clients} clients will find no port: an address of this machine has {ports} for one server "
        "(net.ipv4.ip_local_port_range); widen that, load from more machines, or on loopback lower "
        "--clients-per-address"
    )


async def greet(connector: Connector, dialect: Dialect, names: Names, config: LoadConfig) -> dict[str, Scalar]:
    """Connect once and leave again; returns the limits the server states, if any.

    Raises:
        NoTarget: there is no server that could be loaded; one line that says what there is.
    """
    greeting = _Greeting(dialect, names)
    failure: Failure | None = None
    try:
        with trio.fail_after(config.connect_timeout_s):
            await greeting.exchange(connector)
    except* trio.TooSlowError:
        failure = Failure("timeout", f"{greeting.lacks} within {config.connect_timeout_s:g} s{greeting.complaint}")
    except* Exception as group:  # every kind of refusal, in the groups they come in
        failure = failure_of(group)
        if failure is None:
            raise
    if failure is not None:
        raise NoTarget(f"cannot load {public_values(config)['server_url']}: {failure.text}")
    return {} if greeting.limits is None else _stated(greeting.limits)


class _Greeting:
    """One connection: opened, greeted, left."""

    def __init__(self, dialect: Dialect, names: Names) -> None:
        self._dialect = dialect
        self._names = names
        self._stream: LaneStream[None] | None = None
        self._greeted = trio.Event()
        self._over = trio.Event()
        self._leaving = False
        self.complaint = ""
        """The last error the server told of, if any."""
        self.limits: Limits | None = None
        self.lacks = "no WebSocket"
        """What is still waited for."""

    async def exchange(self, connector: Connector) -> None:
        """Raises whatever prevents it; see `failure_of`."""
        dialect, names = self._dialect, self._names
        room = names.room(0)
        link = await connector.open(0)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                self._stream = LaneStream(
                    link.stream,
                    nursery=nursery,
                    reader=dialect.reader(self._take, SharedReader(self._take)),
                    on_batch=lambda _: None,
                    on_end=self._end,
                    binary=dialect.binary,
                )
                ws = await trio_websocket.wrap_client_stream(
                    nursery,
                    cast(trio.SocketStream, self._stream),  # annotated too narrowly: any stream will do
                    connector.host_header,
                    dialect.resource(names, 0, room),
                    subprotocols=dialect.subprotocols,
                    extra_headers=dialect.extra_headers(names, 0, room),
                )
                if dialect.subprotocols and ws.subprotocol not in dialect.subprotocols:
                    raise NotOffered(dialect.subprotocols)
                nursery.start_soon(self._read, ws)
                for text in dialect.hello(names, 0, room):
                    self._send(text)
                if dialect.confirms:
                    self.lacks = "the WebSocket is open, but the server did not say that the client has joined"
                    await self._greeted.wait()
                self._leaving = True
                with trio.move_on_after(GOODBYE_S):
                    await ws.aclose()
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(link.stream)

    def _end(self) -> None:
        if not self._leaving:
            self._over.set()

    async def _read(self, ws: trio_websocket.WebSocketConnection) -> None:
        """What does not come by the lane (see `LaneStream`)."""
        with suppress(trio_websocket.ConnectionClosed):
            while True:
                message = await ws.get_message()
                self._take([message.encode() if isinstance(message, str) else message])

    async def _watch(self) -> None:
        await self._over.wait()
        # trio-websocket would wait for the rest of the handshake for ever.
        raise HungUp(self.complaint)

    def _take(self, payloads: Sequence[bytes]) -> None:
        for payload in payloads:
            with suppress(BadMessage):
                match self._dialect.read(payload):
                    case Welcome() as welcome:
                        self.limits = welcome.limits
                        self._greeted.set()
                    case Entered():
                        self._greeted.set()
                    case Reply() as reply:
                        self._send(reply.of(self._names, 0, self._names.room(0)))
                    case Refused(text):
                        self.complaint = f"; it says: {text}"

    def _send(self, payload: bytes) -> None:
        if self._stream is not None:
            self._stream.send_nowait(masked_frame(payload, b"mask", binary=self._dialect.binary))


def _stated(limits: Limits) -> dict[str, Scalar]:
    return {"message_size_bytes": limits.message_size_bytes, "message_rate_per_s": limits.message_rate_per_s}
