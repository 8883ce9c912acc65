"""One member's place in what its room receives (see `room_stream`): the hot path of a delivery."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from scalechat.load.deliveries import Reception
from scalechat.load.ledger import RecipientLedger
from scalechat.load.recorder import Recorder
from scalechat.load.room_stream import STEPS, RoomStream, Step, Stretch

_PARSED_UNTIL_TRIED: Final = 64
"""Chunks of a member whose bytes are its own that are not compared with the room's."""


class Follower:
    """One member's place in its room's stream.

    `ledger` is the member's account: what it has received is counted there after `settle`, which numbers these were
    stands there after `leave`.
    """

    __slots__ = (
        "_begin",
        "_client",
        "_now_ns",
        "_own_bytes",
        "_place",
        "_recorder",
        "_room",
        "_stretch",
        "_unsettled",
        "ledger",
        "seq",
    )

    def __init__(self, client: int, room: RoomStream, ledger: RecipientLedger, recorder: Recorder) -> None:
        self._client = client
        self._room = room
        self._recorder = recorder
        self._stretch: Stretch | None = None
        self._place = 0
        self._begin = 0
        """The place up to which deliveries are accounted for. The rest, which came at `_now_ns`, is so at the end of
        the read: answers to this member lie between messages that it received together, as everybody did."""
        self._now_ns = 0
        self._own_bytes = 0
        """So many chunks more are taken to be in bytes that no other member receives."""
        self._unsettled = 0
        """Messages received since the ledger was written."""
        self.ledger = ledger
        self.seq = 0
        """The place in the room's log of the last message that came."""
        self.enter()

    @property
    def awaits(self) -> bool:
        """Whether it is known what comes next, apart from answers to this member alone."""
        return self._stretch is not None and not self._own_bytes and self._place < len(self._stretch.messages)

    def follow(self, data: bytes, now_ns: int) -> bytes:
        """Account for the whole messages at the beginning of `data` that others have received before.

        `data` begins with a frame. Returns the rest, which does as well.
        """
        if self._own_bytes:
            self._own_bytes -= 1
            return data
        self._now_ns = now_ns
        if (stretch := self._stretch) is not None and self._begin == self._place:
            step = stretch.steps.get(self._place)
            if step is not None and step.data == data and not step.reception.closed:
                # The way of nearly every chunk; as `_receive` does.
                reception, count = step.reception, step.count
                reception.times.append(now_ns)
                reception.clients.append(self._client)
                self._recorder.counters.delivered += count
                self._unsettled += count
                self._place = self._begin = step.reached
                self.seq = step.seq
                return b""
        while (stretch := self._stretch) is not None and data:
            edges = stretch.edges
            begin = edges[self._place]
            if stretch.data.startswith(data, begin):
                reached = bisect_right(edges, begin + len(data), self._place) - 1
            else:
                reached = self._common(stretch, data, begin)
            place, self._place = self._place, reached
            if edges[reached] - begin == len(data) and place == self._begin:
                reception = self._receive(stretch, now_ns)
                if len(stretch.steps) >= STEPS:
                    stretch.steps.clear()
                stretch.steps[place] = Step(data, place, reached, self.seq, reception)
                return b""
            data = data[edges[reached] - begin :]
            if stretch.next is None or reached < len(stretch.messages):
                break
            self._go_to(stretch.next)
        return data

    def end_of_read(self) -> None:
        """Account for what has come since the last time."""
        stretch = self._stretch
        if stretch is not None and self._place > self._begin:
            self._receive(stretch, self._now_ns)

    def agree(
        self, deliveries: Sequence[tuple[int, int]], payloads: Sequence[bytes], seqs: array[int], now_ns: int
    ) -> int:
        """Account for those at the beginning that others have received before, in whatever bytes; how many these are.

        A server may give each member bytes of its own: they are parsed each time, and mean the same.
        """
        done = 0
        while (stretch := self._stretch) is not None and done < len(deliveries):
            begin = self._place
            expected = stretch.messages[begin : begin + len(deliveries) - done]
            if not expected and stretch.next is not None:
                self._go_to(stretch.next)
                continue
            if not expected or expected != list(deliveries[done : done + len(expected)]):
                break
            if payloads and not stretch.data.startswith(payloads[done], stretch.edges[begin + 1] - len(payloads[done])):
                self._own_bytes = _PARSED_UNTIL_TRIED
            done += len(expected)
            self._place += len(expected)
            self._receive(stretch, now_ns)
            self.seq = seqs[done - 1]
        return done

    def lead(
        self,
        deliveries: Sequence[tuple[int, int]],
        rows: array[int],
        payloads: Sequence[bytes],
        seqs: array[int],
        now_ns: int,
    ) -> bool:
        """Account for messages that nobody received before; False, and nothing is done, when these are not such."""
        stretch = self._stretch
        if stretch is None or stretch is not self._room.newest or self._place < len(stretch.messages):
            return False
        if not self._room.extend(deliveries, rows, payloads, seqs):
            return False
        self._place = len(stretch.messages)
        self._receive(stretch, now_ns)
        return True

    def settle(self) -> None:
        """Count in the ledger what was received."""
        self.end_of_read()
        self.ledger.received += self._unsettled
        self._unsettled = 0

    def leave(self) -> None:
        """Write the ledger, and have no place any more: something else came than what others got."""
        self.settle()
        if self._stretch is not None:
            self.ledger.state = self._stretch.highest_at(self._place)
            self._stretch = None
            self._room.followers -= 1

    def enter(self) -> None:
        """Take a place, if the ledger says that the member has received what the newest stretch begins or ends with."""
        if self._stretch is not None:
            return
        room, state = self._room, self.ledger.state
        newest = room.newest
        if newest is None or (not room.followers and newest.highest != state):
            newest = room.begin(state)
        if newest.highest == state:
            place = len(newest.messages)
        elif newest.start == state:
            place = 0
        else:
            return
        self._stretch, self._place, self._begin = newest, place, place
        room.followers += 1
        self.ledger.state = []  # Of a thousand publishers a list for each of a thousand members would be 8 MB.

    def _go_to(self, stretch: Stretch) -> None:
        """From the end of a stretch to the beginning of the next."""
        self.end_of_read()
        self._stretch, self._place, self._begin = stretch, 0, 0

    def _receive(self, stretch: Stretch, now_ns: int) -> Reception:
        key = self._begin, self._place
        reception = stretch.receptions.get(key)
        if reception is None:
            reception = stretch.receptions[key] = self._recorder.deliveries.reception(
                stretch.rows[self._begin : self._place], stretch.receptions
            )
        reception.times.append(now_ns)
        reception.clients.append(self._client)
        count = self._place - self._begin
        self._recorder.counters.delivered += count
        self._unsettled += count
        self._begin = self._place
        self.seq = stretch.seqs[self._place - 1]
        return reception

    def _common(self, stretch: Stretch, data: bytes, begin: int) -> int:
        """The place after the last whole message that `data` and the stretch have in common."""
        edges, compared = stretch.edges, memoryview(data)
        low = self._place
        high = bisect_right(edges, begin + len(data), low) - 1
        while low < high:  # The first try is all of it: whoever goes beyond the end has the rest in common.
            middle = high if low == self._place and high == len(stretch.messages) else (low + high + 1) // 2
            if stretch.data.startswith(compared[edges[low] - begin : edges[middle] - begin], edges[low]):
                low = middle
            else:
                high = middle - 1
        return low
