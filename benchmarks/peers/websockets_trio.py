"""A room hub on `websockets` over Trio, with its own `broadcast()`."""

import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import trio
from websockets.trio.server import ServerConnection, broadcast, serve

rooms: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def handle(connection: ServerConnection) -> None:
    assert connection.request is not None
    room = rooms[parse_qs(urlsplit(connection.request.path).query)["room"][0]]
    room.add(connection)
    try:
        async for message in connection:
            await broadcast(room, message)
    finally:
        room.discard(connection)


if __name__ == "__main__":
    trio.run(
        lambda: serve(handle, int(sys.argv[1]), host="127.0.0.1", compression=None, ping_interval=None, backlog=4096)
    )
