"""A server that gives every member bytes of its own: ``python -m benchmarks.load_clients.own_bytes PORT``.

Members of a room of an ordinary server receive equal bytes, and a load client may parse those once. Here each delivery
says to whom it goes, so that no two members ever receive the same frame, and every one has to be parsed. It speaks the
plain dialect, has one room, and coalesces as ours does: what was published while it served the members goes out in one
write to each of them in the next round.
"""

from __future__ import annotations

import select
import socket
import sys
from dataclasses import dataclass, field
from typing import Final

from scalechat.wire.frames import WholeFrames, text_frame
from scalechat.wire.handshake import BadHandshake, accept_response, parse_upgrade

TO: Final = b"??????"
"""Stands for the member; no message of a load client holds it."""
READ_BYTES: Final = 64 * 1024
MAX_UNSENT_BYTES: Final = 16 * 1024 * 1024
"""Who is so far behind is cut off."""
_END_OF_HEAD: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Member:
    sock: socket.socket
    name: bytes
    head: bytes | None = b""
    """Its request so far; None when it is answered."""
    lane: WholeFrames = field(default_factory=lambda: WholeFrames(masked=True, max_payload_bytes=1 << 20))
    unsent: bytes = b""


class Source:
    """One thread, one epoll; runs until its process is ended."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._members: dict[int, Member] = {}

    def run(self) -> None:
        """Serve."""
        while True:
            frames: list[bytes] = []
            for fd, events in self._epoll.poll():
                member = self._members.get(fd)
                if member is None:
                    self._accept()
                    continue
                if events & select.EPOLLOUT:
                    self._send(member, b"")
                if events & ~select.EPOLLOUT:
                    frames += self._read(member)
            if frames:
                together = b"".join(frames)
                for member in list(self._members.values()):
                    if member.head is None:
                        self._send(member, together.replace(TO, member.name))

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._members[sock.fileno()] = Member(sock, b"%06d" % sock.fileno())
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, member: Member) -> list[bytes]:
        """What the member publishes, as frames that still lack the name of whom they go to."""
        try:
            data = member.sock.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._forget(member)
            return []
        if member.head is not None:
            head, end, data = (member.head + data).partition(_END_OF_HEAD)
            if not end:
                member.head = head
                return []
            member.head = None
            try:
                self._send(member, accept_response(parse_upgrade(head + end), None))
            except BadHandshake:  # Somebody asks for a page.
                self._send(member, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                self._forget(member)
                return []
        payloads, _rest = member.lane.feed(data)
        if member.lane.off:  # It says goodbye; politeness is not what is measured.
            self._forget(member)
        return [text_frame(b'{"to":"%b",%b' % (TO, payload[1:])) for payload in payloads]

    def _send(self, member: Member, data: bytes) -> None:
        if not member.unsent or not data:
            data = member.unsent + data
            try:
                sent = member.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._forget(member)
                return
            waited, member.unsent = bool(member.unsent), data[sent:]
            if waited != bool(member.unsent):
                wanted = select.EPOLLIN | (select.EPOLLOUT if member.unsent else 0)
                self._epoll.modify(member.sock.fileno(), wanted)
        else:
            member.unsent += data
            if len(member.unsent) > MAX_UNSENT_BYTES:
                self._forget(member)

    def _forget(self, member: Member) -> None:
        if self._members.pop(member.sock.fileno(), None) is not None:
            member.sock.close()


if __name__ == "__main__":
    Source(int(sys.argv[1])).run()
