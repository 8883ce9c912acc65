"""How a batch of messages reaches one member: three ways, which `scalechat.server.fanout` drives.

They exist side by side because showing the difference is part of the product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from scalechat.server.member import Member
from scalechat.server.outbox import Outcome
from scalechat.server.room import Prepared
from scalechat.server.slow_consumer import Spare
from scalechat.wire.codec import encode
from scalechat.wire.frames import text_frame

BATCH_FRAMES = 128
"""Most messages in one write of `Coalesced`."""


class Strategy(Protocol):
    """How one batch reaches one member."""

    batch_frames: int
    """Most messages in one batch: as many as one write takes, so that a slice of members costs the same in each."""

    def begin(self, batch: Sequence[Prepared], spare: Spare | None) -> bytes | None:
        """Do what needs doing once for all members. `spare` is the batch again, where it may be dropped.

        Returns what a member who lacks the whole batch and keeps up is sent in one write, where there is such a thing.
        """

    def serve(self, member: Member, after_seq: int) -> Outcome:
        """Give `member` the messages of the batch with positions above `after_seq`."""


class _OneByOne(ABC):
    """One write per message and recipient."""

    batch_frames = 1

    def __init__(self) -> None:
        self._batch: Sequence[Prepared] = ()
        self._spare: Spare | None = None

    def begin(self, batch: Sequence[Prepared], spare: Spare | None) -> bytes | None:
        self._batch = batch
        self._spare = spare
        return None

    def serve(self, member: Member, after_seq: int) -> Outcome:
        outcome = Outcome.SENT
        for prepared in self._batch:
            if prepared.seq > after_seq and outcome in (Outcome.SENT, Outcome.QUEUED):
                outcome = self._offer(member, prepared)
        return outcome

    @abstractmethod
    def _offer(self, member: Member, prepared: Prepared) -> Outcome: ...


class PerClient(_OneByOne):
    """The plain way: for every recipient encode the JSON, build the frame, wake its writer. Kept to be measured."""

    def _offer(self, member: Member, prepared: Prepared) -> Outcome:
        return member.outbox.offer(text_frame(encode(prepared.publication)), 1, self._spare, direct=False)


class EncodeOnce(_OneByOne):
    """One frame shared by all."""

    def _offer(self, member: Member, prepared: Prepared) -> Outcome:
        return member.outbox.offer(prepared.frame, 1, self._spare)


class Coalesced:
    """Everything pending in one buffer, one write per recipient."""

    batch_frames = BATCH_FRAMES

    def __init__(self) -> None:
        self._batch: Sequence[Prepared] = ()
        self._spare: Spare | None = None

    def begin(self, batch: Sequence[Prepared], spare: Spare | None) -> bytes | None:
        self._batch = batch
        self._spare = spare
        return b"".join([prepared.frame for prepared in batch])

    def serve(self, member: Member, after_seq: int) -> Outcome:
        frames = [prepared.frame for prepared in self._batch if prepared.seq > after_seq]
        return member.outbox.offer(b"".join(frames), len(frames), self._spare) if frames else Outcome.SENT


STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "per-client": PerClient,
    "encode-once": EncodeOnce,
    "coalesced": Coalesced,
}
