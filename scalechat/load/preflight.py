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

from scalechat.client.transport import LaneStream, SharedReader
from scalechat.config import LoadConfig, OperationalError, UsageError, public_values
from scalechat.load.connector import Connector, Failure, HungUp, NotOffered, failure_of
from scalechat.load.dialects import Dialect, Names
from scalechat.load.health import raise_file_limit
from scalechat.load.results import Scalar
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


async def greet(connector: Connector, dialect: Dialect, names: Names, config: LoadConfig) -> dict[str, Scalar]:
    """Connect once and leave again; returns the limits the server states, if any.

    Raises:
        OperationalError: there is no server that could be loaded; one line that says what there is.
    """
    limits: Limits | None = None
    failure: Failure | None = None
    try:
        with trio.fail_after(config.connect_timeout_s):
            limits = await _exchange_greetings(connector, dialect, names)
    except* trio.TooSlowError:
        failure = Failure("timeout", f"no WebSocket within {config.connect_timeout_s:g} s")
    except* Exception as group:  # every kind of refusal, in the groups they come in
        failure = failure_of(group)
        if failure is None:
            raise
    if failure is not None:
        raise OperationalError(f"cannot load {public_values(config)['server_url']}: {failure.text}")
    return {} if limits is None else _stated(limits)


async def _exchange_greetings(connector: Connector, dialect: Dialect, names: Names) -> Limits | None:
    limits: Limits | None = None
    greeted, over = trio.Event(), trio.Event()
    leaving = False

    def on_texts(texts: Sequence[bytes]) -> None:
        nonlocal limits
        for text in texts:
            with suppress(BadMessage):
                said = dialect.read(text)
                if isinstance(said, Welcome):
                    limits = said.limits
                    greeted.set()

    def on_end() -> None:
        if not leaving:
            over.set()

    async def watch() -> None:
        await over.wait()
        raise HungUp  # trio-websocket would wait for the rest of the handshake for ever

    link = await connector.open(0)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            stream = LaneStream(
                link.stream, nursery=nursery, reader=SharedReader(list), on_batch=on_texts, on_end=on_end
            )
            ws = await trio_websocket.wrap_client_stream(
                nursery,
                cast(trio.SocketStream, stream),  # annotated too narrowly: any stream will do
                connector.host_header,
                names.resource(0, names.room(0)),
                subprotocols=dialect.subprotocols,
            )
            if dialect.subprotocols and ws.subprotocol not in dialect.subprotocols:
                raise NotOffered
            if dialect.acknowledges:
                await greeted.wait()
            leaving = True
            with trio.move_on_after(GOODBYE_S):
                await ws.aclose()
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(link.stream)
    return limits


def _stated(limits: Limits) -> dict[str, Scalar]:
    return {"message_size_bytes": limits.message_size_bytes, "message_rate_per_s": limits.message_rate_per_s}
