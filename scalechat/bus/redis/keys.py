"""Where things are: the shard of a room, and the names of its keys.

Every key of a shard carries the hash tag ``{sc.N}``, so that a Redis Cluster keeps it in one place. Room and client
names are letters, digits and ``-_.`` (`scalechat.wire.messages.parse_name`), so they can stand in a key, and a space
or a colon separates them from anything else.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

SHARDS: Final = 64
"""Fixed for good: another number would look for rooms where they are not. 64 spread evenly enough over a dozen Redis
servers, and one blocking read of all of them costs Redis 30 µs."""
SLOTS: Final = 16_384
"""Hash slots of a Redis Cluster (its specification, "Key distribution model")."""
NOTICE_KEY: Final = b"scalechat:{sc.notices}:stream"
"""The stream of what is told to every node: private messages, and what operators ask for."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The keys of one shard that belong to no single room."""

    number: int
    slot: int
    prefix: bytes
    meta: bytes
    """Hash: ``g`` generation, ``c`` number of the last entry, ``l`` its stream id."""
    stream: bytes
    ids: tuple[bytes, bytes, bytes]
    """Hashes of fingerprint → position, one for each stretch of time, used in turn."""
    nodes: bytes
    """Sorted set: node → until when its lease runs."""
    index: bytes
    """Set of the names of rooms."""

    def room(self, name: str) -> bytes:
        """Hash: ``e`` epoch, ``n`` position, ``x`` when its expiry was last put off."""
        return b"%broom:%b" % (self.prefix, name.encode())

    def log(self, name: str) -> bytes:
        """List of payloads, oldest first; the last one has the room's position."""
        return b"%blog:%b" % (self.prefix, name.encode())

    def here(self, name: str) -> bytes:
        """Hash: client → connections over all nodes."""
        return b"%bhere:%b" % (self.prefix, name.encode())

    def of(self, node: bytes) -> bytes:
        """Hash: "room client" → connections on one node."""
        return b"%bof:%b" % (self.prefix, node)


def slot_of(key: bytes) -> int:
    """The hash slot of a key: CRC-16/XMODEM of its hash tag (Redis Cluster specification, "Hash tags")."""
    start = key.find(b"{")
    stop = key.find(b"}", start + 1)
    tag = key[start + 1 : stop] if start >= 0 and stop > start + 1 else key
    return binascii.crc_hqx(tag, 0) % SLOTS


NOTICE_SLOT: Final = slot_of(NOTICE_KEY)


def _shard(number: int) -> Shard:
    prefix = b"scalechat:{sc.%d}:" % number
    return Shard(
        number=number,
        slot=slot_of(prefix),
        prefix=prefix,
        meta=prefix + b"shard",
        stream=prefix + b"stream",
        ids=(prefix + b"ids:0", prefix + b"ids:1", prefix + b"ids:2"),
        nodes=prefix + b"nodes",
        index=prefix + b"rooms",
    )


ALL_SHARDS: Final = tuple(_shard(number) for number in range(SHARDS))


@lru_cache(maxsize=16_384)  # As many rooms as a node may have in use; a miss costs 2 µs.
def _number_of(room: str) -> int:
    return int.from_bytes(blake2b(room.encode(), digest_size=4).digest(), "little") % SHARDS


def shard_of(room: str) -> Shard:
    """The shard that a room lives in, everywhere and for ever."""
    return ALL_SHARDS[_number_of(room)]


def fingerprint(room: str, client_id: str, id: str) -> bytes:
    """What stands for (room, client, id) where published ids are remembered: 96 bits, whatever the id's length.

    Names hold no line break, so the three cannot be confused. Nobody can make an id whose fingerprint is that of
    somebody else's message (second preimage of BLAKE2b); a chance meeting takes 10^14 ids within the window.
    """
    return blake2b(f"{room}\n{client_id}\n{id}".encode(), digest_size=12).digest()
