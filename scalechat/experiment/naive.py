"""A chat server as one first writes it: each message is sent to each member of the room in turn, awaiting every send.

It is here to be seen failing: ``program = "scalechat.experiment.naive"`` in an experiment. One member that does not
read stops the loop over all of them.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, WebSocketServer, serve_websocket


class NaiveChat:
    """Rooms and nothing else: no history, no bounds, no deadline."""

    def __init__(self) -> None:
        self._rooms: defaultdict[str, set[WebSocketConnection]] = defaultdict(set)

    async def handle(self, request: WebSocketRequest) -> None:
        connection = await request.accept()
        room = self._rooms[parse_qs(urlsplit(request.path).query)["room"][0]]
        room.add(connection)
        try:
            while True:
                message = await connection.get_message()
                for member in tuple(room):
                    await _send(member, message)
        except ConnectionClosed:
            pass
        finally:
            room.discard(connection)


async def _send(member: WebSocketConnection, message: str | bytes) -> None:
    with contextlib.suppress(ConnectionClosed):  # its own task takes it out of the room
        await member.send_message(message)  # for as long as that member likes: this is the mistake


async def main(port: int) -> None:
    """Serve on loopback until cancelled."""
    async with trio.open_nursery() as nursery:
        server: WebSocketServer = await nursery.start(serve_websocket, NaiveChat().handle, "127.0.0.1", port, None)
        print(f"listening on {server.port}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    trio.run(main, parser.parse_args().port)
