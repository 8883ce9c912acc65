"""A room hub on picows (Cython) over uvloop: the frame is sent to each member from the receive callback."""

import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

rooms: defaultdict[str, set[WSTransport]] = defaultdict(set)


class Member(WSListener):
    def __init__(self, room: str) -> None:
        self.room = rooms[room]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.room.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            for member in self.room:
                member.send(WSMsgType.TEXT, payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.room.discard(transport)


def listener(request: WSUpgradeRequest) -> Member:
    return Member(parse_qs(urlsplit(request.path.decode()).query)["room"][0])


async def main(port: int) -> None:
    server = await ws_create_server(listener, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
