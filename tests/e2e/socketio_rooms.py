"""``python -m tests.e2e.socketio_rooms PORT``: the real python-socketio, with a "join" and a "message"."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import socketio
from hypercorn.asyncio import serve
from hypercorn.config import Config


def application() -> Any:
    """Events are handled in their order, and pings come often."""
    hub = socketio.AsyncServer(async_mode="asgi", async_handlers=False, ping_interval=1)

    async def join(sid: str, room: str) -> None:
        await hub.enter_room(sid, room)

    async def message(_sid: str, room: str, text: str) -> None:
        await hub.emit("message", text, to=room)

    hub.on("join", join)
    hub.on("message", message)
    return socketio.ASGIApp(hub)


if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    asyncio.run(serve(application(), config))
