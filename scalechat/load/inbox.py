"""What one simulated client receives, accounted for while it is read: the hot path of a delivery."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from typing import Protocol

from scalechat.load.decoding import Batch, Damaged, Delivery, Other, Phantom
from scalechat.load.dialects import Acknowledged, Entered, Nothing, Refused, Reply, number_of
from scalechat.load.ledger import RecipientLedger
from scalechat.load.surroundings import Surroundings
from scalechat.wire.messages import Ack, ErrorAnswer, Joined, Reconnect, Welcome


class Owner(Protocol):
    """The client whose inbox it is. Nothing here blocks or raises."""

    def joined(self, said: Joined | None) -> None:
        """The server says that the client is in its room."""
        ...

    def told(self, after_ms: int) -> None:
        """The server asks to come back so much later."""
        ...

    def answer(self, payload: bytes) -> None:
        """This has to be answered."""
        ...


class Inbox:
    """The incoming side of client `number`. `take` is synchronous and never raises."""

    __slots__ = ("_last_ns", "_number", "_owner", "_room", "_world", "ledger", "longest_gap_ns", "seq")

    def __init__(self, number: int, world: Surroundings, owner: Owner) -> None:
        self._number = number
        self._world = world
        self._owner = owner
        self._room = world.recorder.plan.room_of(number)
        self._last_ns = 0
        self.ledger: RecipientLedger | None = None
        """None until the client has joined: what comes before was promised to nobody."""
        self.longest_gap_ns = 0
        """The longest time without a delivery, from joining on."""
        self.seq = 0
        """The last position in the room's log that came, where the target tells."""

    def open(self, now_ns: int, *, again: bool) -> RecipientLedger:
        """The client is in its room; `again`: it is the member that it was before."""
        if self.ledger is None or not again:
            self.ledger = self._world.recorder.join(self._number)
        self._last_ns = now_ns
        self.longest_gap_ns = 0
        return self.ledger

    def take(self, batch: Batch) -> None:
        """Everything one read brought."""
        now_ns = self._world.clock()
        # An answer to joining comes before the first message of the room.
        for other in batch.others:
            self._take_other(other, now_ns)
        if batch.deliveries:
            if batch.seq > self.seq:
                self.seq = batch.seq
            self._take_deliveries(batch.room, batch.deliveries, batch.rows, now_ns)

    def _take_deliveries(self, room: int, deliveries: Sequence[tuple[int, int]], rows: array[int], now_ns: int) -> None:
        recorder = self._world.recorder
        ledger = self.ledger
        if room != self._room:
            recorder.counters.phantom += len(deliveries)
            return
        if ledger is None:
            recorder.counters.early += len(deliveries)
            return
        outcomes = ledger.admit(deliveries)
        if outcomes is not None:
            first = recorder.irregular(self._number, outcomes, deliveries)
            rows = array("q", itertools.compress(rows, first))
        recorder.deliver(self._number, rows, now_ns)
        if now_ns - self._last_ns > self.longest_gap_ns:
            self.longest_gap_ns = now_ns - self._last_ns
        self._last_ns = now_ns

    def _take_other(self, other: Other, now_ns: int) -> None:
        recorder = self._world.recorder
        counters = recorder.counters
        match other:
            case Ack():
                number = number_of(other.id)
                if number is None:
                    counters.unknown_frames += 1
                else:
                    recorder.acknowledge(self._number, number, at_ns=now_ns, room_seq=other.seq)
            case Delivery():
                rows = array("q", [] if other.row is None else [other.row])
                self._take_deliveries(other.room, [(other.slot, other.number)], rows, now_ns)
            case Damaged():
                counters.corrupted += 1
            case Phantom():
                counters.phantom += 1
            case Joined():
                self._owner.joined(other)
            case Entered():
                self._owner.joined(None)
            case Reconnect():
                self._owner.told(other.after_ms)
            case Acknowledged(number):
                recorder.acknowledge(self._number, number, at_ns=now_ns, room_seq=None)
            case Refused(text):
                self._world.error("server_error", text)
            case Reply(text):
                self._owner.answer(text)
            case ErrorAnswer():
                self._world.error(f"server_{other.code}", other.detail)
                number = number_of(other.id)
                if number is not None:
                    recorder.reject(self._number, number)
            case Welcome() | Nothing():
                pass
            case _:
                counters.unknown_frames += 1
