"""Metrics of a real server, asked over one connection that stays open, so that asking costs it no descriptor."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ..rough import RoughPeer


class Prober:
    def __init__(self, peer: RoughPeer) -> None:
        self._peer = peer

    async def counts(self) -> dict[str, float]:
        """Counters by short name: ``refusals:origin``, ``closes:lost``, ``errors:io``, ``messages:bad``."""
        text = await self.text()
        found = re.findall(r'^scalechat_(?:connection_)?(\w+?)(?:_in)?_total\{\w+="(\w+)"\} (\S+)$', text, re.MULTILINE)
        return {f"{family}:{label}": float(value) for family, label, value in found}

    async def values(self) -> dict[str, float]:
        """What has no label, by its whole name."""
        found = re.findall(r"^(\w+) (\S+)$", await self.text(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    async def text(self) -> str:
        return (await self.get("/metrics"))[1].decode()

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        await self._peer.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, _, body = await self._peer.answer()
        return status, body


@asynccontextmanager
async def prober(port: int) -> AsyncIterator[Prober]:
    peer = RoughPeer(await trio.open_tcp_stream("127.0.0.1", port))
    try:
        yield Prober(peer)
    finally:
        await peer.aclose()
