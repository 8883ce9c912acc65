"""A network between a node and its Redis that does what networks do: stops, and loses what was on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

CHUNK = 65536


@dataclass(slots=True)
class Proxy:
    """Listens on `socket`. `lose_answer_to` cuts the connection instead of passing the next answer to a request that
    holds these bytes; it is cleared when that has happened. While `frozen` nothing passes to nodes."""

    socket: Path
    lose_answer_to: bytes | None = None
    lost: int = 0
    frozen_names: frozenset[bytes] = frozenset()
    _thawed: trio.Event = field(default_factory=trio.Event)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def freeze(self, name: bytes) -> None:
        """Hold what goes to connections of that name."""
        self.frozen_names = frozenset({name})
        self._thawed = trio.Event()

    def thaw(self) -> None:
        self.frozen_names = frozenset()
        self._thawed.set()

    async def _serve(self, node: trio.SocketStream, redis: Path) -> None:
        server = await trio.open_unix_socket(str(redis))
        names: set[bytes] = set()
        losing = False

        async def there() -> None:
            nonlocal losing
            async for data in node:
                for name in (b"scalechat-read", b"scalechat-write", b"scalechat-ask"):
                    if name in data:
                        names.add(name)
                if self.lose_answer_to is not None and self.lose_answer_to in data:
                    self.lose_answer_to = None
                    losing = True
                await server.send_all(data)
            nursery.cancel_scope.cancel()

        async def back() -> None:
            async for data in server:
                if losing:
                    self.lost += 1
                    break
                while names & self.frozen_names:
                    await self._thawed.wait()
                await node.send_all(data)
            nursery.cancel_scope.cancel()

        async with node, server:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(there)
                    nursery.start_soon(back)
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass


@asynccontextmanager
async def open_proxy(redis: Path) -> AsyncIterator[Proxy]:
    proxy = Proxy(redis.with_name("proxy.sock"))
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(proxy.socket))
    listening.listen()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                trio.serve_listeners, partial(proxy._serve, redis=redis), [trio.SocketListener(listening)]
            )
            yield proxy
            nursery.cancel_scope.cancel()
    finally:
        proxy.socket.unlink(missing_ok=True)
