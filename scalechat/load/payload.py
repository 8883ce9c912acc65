"""The compact header at the beginning of each `Message`, and the filler that brings it to its size.

56 characters of base64 hold 42 bytes: magic, run, publisher, sequence number, intended and sent time (monotonic ns of
the publisher's machine), sent time on the wall clock, and a CRC-32 over all of it and the filler. The whole text is
ASCII without anything JSON escapes, so its size on the wire is its length, and it survives any server that keeps text
as text.
"""

from __future__ import annotations

import binascii
import enum
import struct
import zlib
from typing import Final, NamedTuple

_MAGIC: Final = b"S1"
_FIELDS: Final = struct.Struct("<2sIIIQQQ")
_CRC: Final = struct.Struct("<I")
_PREFIX: Final = "Uz"  # The base64 characters that the magic alone decides.

HEADER_CHARS: Final = 56
"""The smallest message there is; counts towards ``--msg-size``."""

_ALPHABET: Final = b"abcdefghijklmnopqrstuvwxyz0123456789"
_FILLER: Final = _ALPHABET * (64 * 1024 // len(_ALPHABET))


class Header(NamedTuple):
    """Who published which message when; `sequence` counts 1, 2, 3… for each publisher."""

    run: int
    publisher: int
    sequence: int
    intended_ns: int
    sent_ns: int
    sent_unix_ns: int


class Unreadable(enum.Enum):
    """Why a text has no header."""

    FOREIGN = enum.auto()
    """It does not begin like one of ours."""
    DAMAGED = enum.auto()
    """It began as one of ours and is not what was sent."""


def encode(header: Header, size_bytes: int) -> bytes:
    """The text of one message, `size_bytes` of ASCII; never less than `HEADER_CHARS`."""
    fields = _FIELDS.pack(_MAGIC, *header)
    filler = _filler(size_bytes - HEADER_CHARS)
    checksum = zlib.crc32(filler, zlib.crc32(fields))
    return binascii.b2a_base64(fields + _CRC.pack(checksum), newline=False) + filler


def decode(text: str) -> Header | Unreadable:
    """Read and verify a text of any origin; a `Header` means that every byte of it is as it was sent."""
    if not text.startswith(_PREFIX):
        return Unreadable.FOREIGN
    try:
        # Strict: the lenient mode skips characters outside the alphabet, and a damaged header could pass.
        packed = binascii.a2b_base64(text[:HEADER_CHARS], strict_mode=True)
        filler = text[HEADER_CHARS:].encode("ascii")
    except ValueError:
        return Unreadable.DAMAGED
    fields = packed[: _FIELDS.size]
    if len(packed) != _FIELDS.size + _CRC.size or packed[_FIELDS.size :] != _CRC.pack(
        zlib.crc32(filler, zlib.crc32(fields))
    ):
        return Unreadable.DAMAGED
    magic, *values = _FIELDS.unpack(fields)
    return Header(*values) if magic == _MAGIC else Unreadable.DAMAGED


def _filler(length: int) -> bytes:
    if length <= len(_FILLER):
        return _FILLER[: max(length, 0)]
    return _FILLER * (length // len(_FILLER)) + _FILLER[: length % len(_FILLER)]
