"""What one simulated client receives, accounted for while it is read: the hot path of a delivery."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from typing import Protocol

from scalechat.load.decoding import Batch, Damaged, Delivery, Other, Phantom
from scalechat.load.dialects import Acknowledged, Entered, Nothing, Refused, Reply, number_of
from scalechat.load.follower import Follower
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

    def send(self, payload: bytes) -> bool:
        """Say this, for the server has to be answered; whether the connection took it."""
        ...

    def answered(self, number: int) -> None:
        """The client's own message `number` was acknowledged, was refused, or is the one that came back."""
        ...


class Inbox:
    """The incoming side of client `number`: first `follow`, then `take` for the rest. Both are synchronous and never
    raise."""

    __slots__ = ("_follower", "_last_ns", "_number", "_owner", "_room", "_world", "awaited", "longest_gap_ns")

    def __init__(self, number: int, world: Surroundings, owner: Owner) -> None:
        self._number = number
        self._world = world
        self._owner = owner
        self._room = world.recorder.plan.room_of(number)
        self._last_ns = 0
        self._follower: Follower | None = None
        self.awaited: int | None = None
        """The client's own message whose coming back is its answer. Meanwhile all is parsed, to see it."""
        self.longest_gap_ns = 0
        """The longest time without a delivery, from joining on."""

    def open(self, now_ns: int, *, again: bool) -> RecipientLedger:
        """The client is in its room; `again`: it is the member that it was before."""
        world = self._world
        if self._follower is None or not again:
            ledger = world.recorder.join(self._number, now_ns)
            self._follower = Follower(self._number, world.streams[self._room], ledger, world.recorder)
        else:
            self._follower.enter()
        self._last_ns = now_ns
        self.longest_gap_ns = 0
        return self._follower.ledger

    def close(self) -> None:
        """Nothing more comes."""
        if self._follower is not None:
            self._follower.leave()

    def forget(self) -> None:
        """Whoever joins next is another member."""
        self._follower = None

    @property
    def seq(self) -> int:
        """The place in the room's log of the last message that came, where the target tells."""
        return 0 if self._follower is None else self._follower.seq

    def begin_at(self, seq: int) -> None:
        """The next message is the one after this place."""
        if self._follower is not None:
            self._follower.seq = seq

    @property
    def ledger(self) -> RecipientLedger | None:
        """None until the client has joined: what comes before was promised to nobody."""
        if self._follower is None:
            return None
        if self._world.recorder.roll.has_excused(self._room):
            self._follower.leave()  # which numbers came stands in the ledger then; the next message enters again
        else:
            self._follower.settle()
        return self._follower.ledger

    @property
    def awaits(self) -> bool:
        """Whether it is known what comes next, apart from answers to this client alone."""
        return self._follower is not None and self._follower.awaits

    def follow(self, data: bytes) -> bytes:
        """Account for the messages at the beginning of `data` that others have received before; returns the rest."""
        follower = self._follower
        if follower is None or self.awaited is not None:
            return data
        now_ns = self._world.clock()
        rest = follower.follow(data, now_ns)
        if rest is not data:
            self._note_gap(now_ns)
        return rest

    def end_of_read(self) -> None:
        """See `shared_reader.Follower`."""
        if self._follower is not None:
            self._follower.end_of_read()

    def take(self, batch: Batch) -> None:
        """Everything one read brought."""
        now_ns = self._world.clock()
        # An answer to joining comes before the first message of the room.
        for other in batch.others:
            self._take_other(other, now_ns)
        if batch.deliveries:
            self._take_deliveries(batch.room, batch.deliveries, batch.rows, batch.payloads, batch.seqs, now_ns)

    def _take_deliveries(
        self,
        room: int,
        deliveries: Sequence[tuple[int, int]],
        rows: array[int],
        payloads: Sequence[bytes],
        seqs: array[int],
        now_ns: int,
    ) -> None:
        recorder = self._world.recorder
        follower = self._follower
        if room != self._room:
            recorder.counters.phantom += len(deliveries)
            return
        if follower is None:
            recorder.counters.early += len(deliveries)
            return
        self._note_gap(now_ns)
        if self.awaited is not None and (recorder.plan.slot_of(self._number), self.awaited) in deliveries:
            self._owner.answered(self.awaited)
            self.awaited = None
        if known := follower.agree(deliveries, payloads, seqs, now_ns):
            deliveries, rows, payloads, seqs = deliveries[known:], rows[known:], payloads[known:], seqs[known:]
            if not deliveries:
                return
        # Without its payload, as from a chunk that mixes rooms up, a message cannot be what others are compared with.
        if payloads and follower.lead(deliveries, rows, payloads, seqs, now_ns):
            return
        follower.leave()
        follower.seq = max(follower.seq, *seqs)
        ledger = follower.ledger
        in_gaps = ledger.in_gaps
        if ledger.elsewhere:
            recorder.place(ledger, deliveries, rows)
        outcomes = ledger.admit(deliveries)
        if outcomes is not None:
            recorder.in_gaps += ledger.in_gaps - in_gaps
            first = recorder.irregular(self._number, outcomes, deliveries)
            rows = array("q", itertools.compress(rows, first))
        recorder.deliveries.add(self._number, rows, now_ns)
        follower.enter()

    def _note_gap(self, now_ns: int) -> None:
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
                    self._owner.answered(number)
            case Delivery():
                rows = array("q", [] if other.row is None else [other.row])
                self._take_deliveries(
                    other.room, [(other.slot, other.number)], rows, (), array("q", [other.seq]), now_ns
                )
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
                self._owner.answered(number)
            case Refused(text):
                self._world.error("server_error", text)
            case Reply():
                names = self._world.names
                self._owner.send(other.of(names, self._number, names.room(self._room)))
            case ErrorAnswer():
                self._world.error(f"server_{other.code}", other.detail)
                number = number_of(other.id)
                if number is not None:
                    recorder.reject(self._number, number)
                    self._owner.answered(number)
            case Welcome() | Nothing():
                pass
            case _:
                counters.unknown_frames += 1
