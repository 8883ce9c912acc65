"""What lies between the parts: a balancer in front of the nodes, and a wire to Redis that can be cut in bad moments."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import trio

_CHUNK: Final = 64 * 1024
BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)

Watch = Callable[[bytes], Awaitable[bool]]
"""Sees each chunk before it is passed on, and may hold it up; False cuts the connection instead."""


async def pass_all(_chunk: bytes) -> bool:
    return True


async def splice(
    left: trio.SocketStream, right: trio.SocketStream, *, to_right: Watch = pass_all, to_left: Watch = pass_all
) -> None:
    """Pass bytes both ways until either side ends; then both are closed."""

    async def flow(source: trio.SocketStream, sink: trio.SocketStream, watch: Watch) -> None:
        with suppress(*BROKEN):
            async for chunk in source:
                if not await watch(bytes(chunk)):
                    break
                await sink.send_all(chunk)
        nursery.cancel_scope.cancel()

    async with left, right, trio.open_nursery() as nursery:
        nursery.start_soon(flow, left, right, to_right)
        nursery.start_soon(flow, right, left, to_left)


async def listen(
    handle: Callable[[trio.SocketStream], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on a free port, which is reported."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(listener.socket.getsockname()[1])
    await trio.serve_listeners(handle, [listener])


class Balancer:
    """Gives each new connection to one of the nodes that answer, as a load balancer with health checks does."""

    def __init__(self, ports: Sequence[int], chance: random.Random) -> None:
        self._ports = list(ports)
        self._chance = chance
        self.closed = False
        """Whether nobody gets in; who is in stays."""

    async def handle(self, client: trio.SocketStream) -> None:
        ports = () if self.closed else self._chance.sample(self._ports, len(self._ports))
        for port in ports:
            try:
                node = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                continue
            await splice(client, node)
            return
        await trio.aclose_forcefully(client)


class Wire:
    """The connections of the nodes to Redis. `mark` stands in each message that is published."""

    def __init__(self, redis_port: int, mark: bytes) -> None:
        self._redis_port = redis_port
        self._mark = mark
        self._passing = trio.Event()
        self._passing.set()
        self.cuts_wanted = 0
        """How many more publications get no reply: Redis has taken them, then the connection is gone."""

    def block(self) -> None:
        """From here on nothing arrives and nothing is refused: a network that swallows packets."""
        self._passing = trio.Event()

    def unblock(self) -> None:
        self._passing.set()

    async def handle(self, node: trio.SocketStream) -> None:
        try:
            redis = await trio.open_tcp_stream("127.0.0.1", self._redis_port)
        except OSError:
            await trio.aclose_forcefully(node)
            return
        publishing = False

        async def to_redis(chunk: bytes) -> bool:
            nonlocal publishing
            await self._passing.wait()
            publishing = self._mark in chunk
            return True

        async def to_node(_reply: bytes) -> bool:
            await self._passing.wait()
            cut = publishing and self.cuts_wanted > 0
            self.cuts_wanted -= cut
            return not cut

        await splice(node, redis, to_right=to_redis, to_left=to_node)
