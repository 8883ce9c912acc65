"""What one simulated client receives, accounted for while it is read: the hot path of a delivery."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Sequence

from scalechat.load.decoding import Batch, Damaged, Delivery, Other, Phantom
from scalechat.load.dialects import Acknowledged, Entered, Nothing, Refused, Reply, number_of
from scalechat.load.ledger import RecipientLedger
from scalechat.load.surroundings import Surroundings
from scalechat.wire.messages import Ack, ErrorAnswer, Joined, Reconnect, Welcome


class Inbox:
    """The incoming side of client `number`. `take` is synchronous and never raises."""

    __slots__ = ("_answer", "_last_ns", "_number", "_on_joined", "_room", "_world", "ledger", "longest_gap_ns")

    def __init__(
        self, number: int, world: Surroundings, on_joined: Callable[[], None], answer: Callable[[bytes], object]
    ) -> None:
        """`on_joined` is called when the server says that the client is in its room, `answer` with what it has to be
        answered."""
        self._number = number
        self._world = world
        self._on_joined = on_joined
        self._answer = answer
        self._room = world.recorder.plan.room_of(number)
        self._last_ns = 0
        self.ledger: RecipientLedger | None = None
        """None until the client has joined: what comes before was promised to nobody."""
        self.longest_gap_ns = 0
        """The longest time without a delivery, from joining on."""

    def open(self, now_ns: int) -> None:
        """The client has joined its room."""
        self.ledger = self._world.recorder.join(self._number)
        self._last_ns = now_ns

    def take(self, batch: Batch) -> None:
        """Everything one read brought."""
        now_ns = self._world.clock()
        # An answer to joining comes before the first message of the room.
        for other in batch.others:
            self._take_other(other, now_ns)
        if batch.deliveries:
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
            case Joined() | Entered():
                self._on_joined()
            case Acknowledged(number):
                recorder.acknowledge(self._number, number, at_ns=now_ns, room_seq=None)
            case Refused(text):
                self._world.error("server_error", text)
            case Reply(text):
                self._answer(text)
            case ErrorAnswer():
                self._world.error(f"server_{other.code}", other.detail)
                number = number_of(other.id)
                if number is not None:
                    recorder.reject(self._number, number)
            case Welcome() | Reconnect() | Nothing():
                pass
            case _:
                counters.unknown_frames += 1
