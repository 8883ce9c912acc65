"""The nurseries of one node, and the order in which it goes away.

    services     bus · pump · sweeper · heartbeat · loop lag · figures         cancelled last
    └ connections   one child per client, WebSocket or HTTP             deadline = now + drain_s
      └ accept        the listener                                      cancelled first

Going away: stop accepting; acknowledge nothing more; let the sweeper offer every acknowledged message; tell each
client when to come back, spread over time, and close; wait for the connections until the deadline; close the services.
A second signal skips the waiting.
"""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import trio

from scalechat.config import OperationalError, ServeConfig
from scalechat.server.ceiling import ceiling_here
from scalechat.server.listener import bind
from scalechat.server.log import configure_logging
from scalechat.server.node import Node
from scalechat.server.vitals import collector_for_many_connections, observed_collections, raise_file_limit
from scalechat.values import redact_url

log = structlog.get_logger("scalechat.server")


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a server listens."""

    host: str
    port: int

    @property
    def http_url(self) -> str:
        return f"http://{self._authority}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self._authority}/ws"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def serve(
    config: ServeConfig, *, ends_process: bool = False, task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Reports the bound address by `task_status` once everything that may fail has succeeded. `ends_process`: nothing
    comes after it, so a signal that arrives after the drain has nothing left to end and is kept from the process.

    Resource handling: owns the port, the process's logging and its two signals while it runs. Cancelling it closes
    every connection at once, without a drain.

    Error handling: raises `OperationalError` when the port cannot be had. No peer's doing raises.
    """
    configure_logging(config.log_format, config.log_level)
    file_limit_before, file_limit = raise_file_limit()
    allowed = ceiling_here(file_limit)
    node = Node(config, allowed.connections)
    sockets = bind_or_tell(config)
    bound = Bound(config.host, sockets[0].getsockname()[1])

    def announce() -> None:
        log.info(
            "listening",
            url=bound.http_url,
            file_limit=file_limit,
            file_limit_before=file_limit_before,
            max_connections=node.admission.max_connections,
            max_connections_from="configuration" if config.max_connections else allowed.because,
            fanout=config.fanout,
            bus=redact_url(config.bus),
        )
        task_status.started(bound)

    with stop_signals(ends_process=ends_process) as stops:
        await run_node(node, sockets, stops, drain_s=config.drain_s, announce=announce)


async def run_node(
    node: Node,
    sockets: list[socket.socket],
    stops: AsyncIterator[object],
    *,
    drain_s: float,
    announce: Callable[[], None],
    others_quiet: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """The node's nurseries, see the module's docstring. The first of `stops` begins the drain, the second ends it.

    `announce` is called once clients can come; `others_quiet` returns when the nodes that end together with this one
    publish nothing more either. The sockets are the node's from here on.
    """
    listener = node.listen_on(sockets)
    with observed_collections(node.observe_collection), collector_for_many_connections():
        async with trio.open_nursery() as services:
            await services.start(node.bus.run, node.hub.deliver)
            for service in node.services:
                services.start_soon(service)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accept:
                    accept.start_soon(listener.run, connections)
                    announce()
                    await anext(stops)
                    accept.cancel_scope.cancel()
                connections.cancel_scope.deadline = trio.current_time() + drain_s
                services.start_soon(_cancel_at_next, stops, connections.cancel_scope)
                await node.drain(others_quiet)
            services.cancel_scope.cancel()
    log.info("stopped", **node.figures.totals())


async def _cancel_at_next(stops: AsyncIterator[object], scope: trio.CancelScope) -> None:
    await anext(stops)
    scope.cancel()


@contextmanager
def stop_signals(*, ends_process: bool) -> Iterator[AsyncIterator[int]]:
    """SIGTERM and SIGINT while entered. With `ends_process`, those that come after are kept from the process.

    They would find the handlers of a process that is not serving, and end it with another exit code than 0.
    """
    numbers = (signal.SIGTERM, signal.SIGINT)
    with trio.open_signal_receiver(*numbers) as signals:
        yield signals
        if ends_process:  # Blocked first: between two handlers there is a moment with the default one.
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    if ends_process:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def bind_or_tell(config: ServeConfig, *, shared: bool = False) -> list[socket.socket]:
    """`bind` where the configuration says, or raise the `OperationalError` that tells the user what to do."""
    try:
        return bind(
            config.host,
            config.port,
            backlog=config.backlog,
            send_buffer_bytes=config.send_buffer_bytes,
            shared=shared,
        )
    except OSError as error:
        raise OperationalError(_cannot_listen(config, error)) from error


def _cannot_listen(config: ServeConfig, error: OSError) -> str:
    where = f"{config.host}:{config.port}"
    if error.errno == errno.EADDRINUSE:
        return f"port {config.port} is taken; stop the other program or choose another with --port (0 = any free one)"
    if error.errno == errno.EACCES:
        return f"may not listen on {where}; ports below 1024 need privileges, choose another with --port"
    return f"cannot listen on {where}: {error.strerror or error}; --host takes an address or name of this machine"
