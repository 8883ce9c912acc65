"""A whole node in this process, on a port of its own; without the signals and the logging that `app.serve` owns."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from scalechat.config import ServeConfig
from scalechat.server.listener import bind
from scalechat.server.node import Node

from ..rough import NO_HEADERS, RoughPeer, rough_peer

MOST_CONNECTIONS = 1_000
LOOPBACK = "127.0.0.1"
"""Where it listens, whatever the configuration says, which decides who may see what."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The machine-readable word of an error."""
        value = self.json
        assert value["detail"]
        return str(value["code"])


@dataclass(frozen=True, slots=True)
class Running:
    node: Node
    port: int
    accepting: trio.CancelScope
    api_key: str | None

    def peer(self) -> AbstractAsyncContextManager[RoughPeer]:
        """A peer over TCP."""
        return rough_peer(self.port)

    async def fetch(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        body: object = None,
        key: bool = False,
    ) -> Answer:
        """One request on a connection of its own. `body`: JSON, or bytes as they are; `key`: with the API key."""
        lines = {"host": "localhost", "connection": "close"}
        payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            lines |= {"content-type": "application/json", "content-length": str(len(payload))}
        if key:
            lines["authorization"] = f"Bearer {self.api_key}"
        head = "\r\n".join(
            [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in (lines | dict(headers)).items()), "", ""]
        )
        async with rough_peer(self.port) as peer:
            await peer.send(head.encode("latin-1"), payload)
            return Answer(*await peer.answer())


@asynccontextmanager
async def running(config: ServeConfig = ServeConfig()) -> AsyncIterator[Running]:
    """Serve until the block ends; every connection is then cut."""
    node = Node(config, MOST_CONNECTIONS)
    sockets = bind(LOOPBACK, 0)
    listener = node.listen_on(sockets)
    async with trio.open_nursery() as services:
        await services.start(node.bus.run, node.hub.deliver)
        for service in node.services:
            services.start_soon(service)
        async with trio.open_nursery() as connections, trio.open_nursery() as accept:
            accept.start_soon(listener.run, connections)
            yield Running(node, sockets[0].getsockname()[1], accept.cancel_scope, config.api_key)
            accept.cancel_scope.cancel()
            connections.cancel_scope.cancel()
        services.cancel_scope.cancel()
