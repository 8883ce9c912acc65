"""The plain way on trio-websocket: `send_message` to each member in turn. Where this project began."""

import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

rooms: defaultdict[str, set[WebSocketConnection]] = defaultdict(set)


async def handle(request: WebSocketRequest) -> None:
    connection = await request.accept()
    room = rooms[parse_qs(urlsplit(request.path).query)["room"][0]]
    room.add(connection)
    try:
        while True:
            message = await connection.get_message()
            for member in tuple(room):
                try:
                    await member.send_message(message)
                except ConnectionClosed:
                    room.discard(member)
    except ConnectionClosed:
        pass
    finally:
        room.discard(connection)


if __name__ == "__main__":
    trio.run(lambda: serve_websocket(handle, "127.0.0.1", int(sys.argv[1]), None))
