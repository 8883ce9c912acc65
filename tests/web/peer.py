"""The other end of a page's WebSockets: each test says line by line what it does."""

import json
import re

from playwright.sync_api import Page, WebSocketRoute

Frame = dict[str, object]


class Peer:
    """Accepts every WebSocket of a page; `connections` are in order of arrival."""

    def __init__(self, page: Page) -> None:
        self.connections: list[Connection] = []
        page.route_web_socket(re.compile(r"/ws\?"), self._accept)

    def _accept(self, route: WebSocketRoute) -> None:
        self.connections.append(Connection(route))


class Connection:
    """One WebSocket; `heard` is what the page has sent and the test has not taken yet."""

    def __init__(self, route: WebSocketRoute) -> None:
        self.url = route.url
        self.heard: list[Frame] = []
        self._route = route
        route.on_message(lambda text: self.heard.append(json.loads(text)))

    def say(self, **frame: object) -> None:
        self._route.send(json.dumps(frame))

    def close(self, code: int, reason: str = "") -> None:
        self._route.close(code=code, reason=reason)

    def welcome(self, *, message_size_bytes: int = 65_536, message_rate_per_s: float = 100.0) -> None:
        limits = {"message_size_bytes": message_size_bytes, "message_rate_per_s": message_rate_per_s}
        self.say(
            type="welcome",
            clientId="ada",
            session="s",
            protocol="scalechat.v1",
            limits=limits,
            heartbeat_ms=25_000,
        )

    def joined(self, request: Frame, *seqs: int, seq: int, epoch: str = "e1", recovered: bool = False) -> None:
        """Answer a join with the messages `seqs` as history."""
        self.say(
            type="joined",
            id=request["id"],
            room=request["room"],
            epoch=epoch,
            seq=seq,
            members=1,
            recovered=recovered,
            history=[publication(one) for one in seqs],
        )

    def take(self, page: Page, kind: str) -> Frame:
        """The oldest frame of type `kind` that the page has sent; waits for it."""
        for _ in range(500):  # Each look is one round trip to the browser, so this is bounded and does not sleep.
            for index, frame in enumerate(self.heard):
                if frame["type"] == kind:
                    return self.heard.pop(index)
            page.evaluate("0")
        raise AssertionError(f"the page sent no {kind!r}; it sent {self.heard}")


def publication(seq: int, *, by: str = "bob", id: str | None = None, room: str = "lab") -> Frame:
    frame: Frame = {"clientId": by, "Message": f"text {seq}", "room": room, "seq": seq, "ts": seq * 1000}
    return frame if id is None else {**frame, "id": id}
