"""What all readers of a node share: the shards being read, the notices to every node, and how far reading has come."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import msgspec
import trio

from scalechat.bus.base import DirectDelivery, Kick
from scalechat.bus.redis.following import Reading, StreamId, parse_id

NONCES: Final = 1_000
"""Notices remembered, so that one whose answer was lost and which was sent again is delivered once."""


class Notice(msgspec.Struct, frozen=True, gc=False):
    """What is told to every node, as it travels."""

    nonce: bytes
    direct: DirectDelivery | None = None
    kick: Kick | None = None


_decode: Final = msgspec.msgpack.Decoder(Notice).decode
encode_notice: Final = msgspec.msgpack.Encoder().encode


class Readings:
    """`by_stream` has a shard as long as a room in it is followed."""

    def __init__(self) -> None:
        self.by_stream: dict[bytes, Reading] = {}
        self.notice_id = b"0-0"
        """Position in the stream of notices."""
        self.lag_s = 0.0
        """Between append and delivery of the newest entry: by Redis' clock and by ours."""
        self._nonces: OrderedDict[bytes, None] = OrderedDict()
        self._progressed = trio.Event()

    async def wait_progress(self) -> None:
        """Wait until something more has been read."""
        await self._progressed.wait()

    def note_progress(self, newest_id: bytes | None = None) -> None:
        """Something has been read."""
        if newest_id is not None:
            self.lag_s = max(0.0, time.time() - parse_id(newest_id)[0] / 1000)
        self._progressed.set()
        self._progressed = trio.Event()

    def notice_before(self, id: StreamId) -> bool:
        """Whether notices up to `id` are still to come."""
        return parse_id(self.notice_id) < id

    def take_notice(self, id: bytes, value: bytes) -> DirectDelivery | Kick | None:
        """The event of the next notice; None when it was delivered before, or only a newer node knows what it says."""
        self.notice_id = id
        notice = _decode(value)
        if notice.nonce in self._nonces:
            return None
        self._nonces[notice.nonce] = None
        if len(self._nonces) > NONCES:
            self._nonces.popitem(last=False)
        return notice.direct or notice.kick
