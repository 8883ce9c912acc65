"""Members without a network: real sessions, outboxes and transports over small sockets, and what each has heard."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from trio.testing import MemoryReceiveStream
from wsproto.connection import ConnectionType

from scalechat.server.hub import prepare
from scalechat.server.member import Member
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Backlog, Outbox, QueueLimits
from scalechat.server.room import Prepared
from scalechat.server.transport import Transport
from scalechat.wire.closing import Closing
from scalechat.wire.messages import Publication
from scalechat.wire.session import Dialect, Session
from tests.server.small_socket import SmallSocket
from tests.wire.reference import understood

ROOMY: Final = 10**8
"""Bytes: a socket that is never full."""
LIMITS: Final = QueueLimits(frames=1024, bytes=2**20)


def publication(seq: int, text: str = "hi", room: str = "tea") -> Publication:
    return Publication(client_id="alice", text=text, room=room, seq=seq, ts_unix_ms=seq)


def prepared(seq: int, text: str = "hi", room: str = "tea") -> Prepared:
    return prepare(publication(seq, text, room))


@dataclass(slots=True, eq=False)
class Seat:
    """One member, its socket, and how the server ended it."""

    member: Member
    socket: SmallSocket
    endings: list[tuple[Closing, str, int | None]] = field(default_factory=list)

    @property
    def heard(self) -> list[dict[str, Any]]:
        """Everything said to it so far, decoded by wsproto."""
        return [json.loads(text) for text in understood([self.socket.on_wire], ConnectionType.CLIENT).texts]

    @property
    def seqs(self) -> list[int]:
        """Positions of the chat messages heard so far."""
        return [said["seq"] for said in self.heard if "seq" in said and "type" not in said]

    @property
    def pings(self) -> int:
        return understood([self.socket.on_wire], ConnectionType.CLIENT).controls.count(("ping", b""))


class Seats:
    """Makes members whose writers run in `nursery`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.backlog = Backlog()
        self.counters = Counters()

    def take(
        self,
        client_id: str | None = "alice",
        *,
        dialect: Dialect = Dialect.V1,
        room_bytes: int = ROOMY,
        limits: QueueLimits = LIMITS,
        stream: trio.abc.SendStream | None = None,
        token_expires_unix_s: float | None = None,
    ) -> Seat:
        """A new connection's member; `stream` in place of a small socket has no direct writes."""
        socket = SmallSocket(room_bytes)
        outbox = Outbox(
            stream or socket,
            spawn=self.nursery.start_soon,
            limits=limits,
            backlog=self.backlog,
            send_now=None if stream else socket.send_now,
        )
        transport = Transport(
            trio.StapledStream(stream or socket, MemoryReceiveStream()),
            early=b"",
            outbox=outbox,
            counters=self.counters,
            max_message_bytes=1000,
            on_texts=_nothing,
        )
        member = Member(
            session_id=f"session-{id(socket)}",
            session=Session(dialect, client_id=client_id, plain_room="tea"),
            address="192.0.2.1",
            outbox=outbox,
            connected_unix_s=0.0,
            token_expires_unix_s=token_expires_unix_s,
            transport=transport,
            end=lambda *ending: _end(seat, *ending),
        )
        seat = Seat(member, socket)
        return seat


def _end(seat: Seat, member: Member, closing: Closing, detail: str, retry_after_ms: int | None) -> None:
    seat.endings.append((closing, detail, retry_after_ms))
    member.outbox.close()


def _nothing(payloads: list[bytes], now_s: float) -> None:
    raise NotImplementedError("these members only listen")


@asynccontextmanager
async def seats() -> AsyncIterator[Seats]:
    async with trio.open_nursery() as nursery:
        yield Seats(nursery)
        nursery.cancel_scope.cancel()
