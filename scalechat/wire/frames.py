"""WebSocket frames (RFC 6455 section 5) that we make or take out of a byte stream ourselves.

A server frame is unmasked and no compression is negotiated, so the bytes of one message are the same for every member:
they are made once and shared. On the way in, `WholeFrames` takes the common case (complete, unfragmented text frames)
straight out of the stream and leaves everything else, byte for byte, to the WebSocket library.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A  # FIN set.
_MASKED = 0x80
_MAX_SHORT, _MAX_MEDIUM = 125, 0xFFFF


def text_frame(payload: bytes) -> bytes:
    """One unmasked text frame around `payload` (UTF-8), as a server sends it."""
    return _header(_TEXT, len(payload), 0) + payload


def binary_frame(payload: bytes) -> bytes:
    """One unmasked binary frame, as a server sends it."""
    return _header(_BINARY, len(payload), 0) + payload


def masked_text_frame(payload: bytes, mask: bytes) -> bytes:
    """One masked text frame, as a client sends it; `mask` has 4 bytes."""
    return masked_frame(payload, mask)


def masked_frame(payload: bytes, mask: bytes, *, binary: bool = False) -> bytes:
    """The same, of text or of anything."""
    return _header(_BINARY if binary else _TEXT, len(payload), _MASKED) + mask + xor(payload, mask)


def ping_frame(payload: bytes = b"") -> bytes:
    """One unmasked Ping; `payload` has 125 bytes at most."""
    return _header(_PING, len(payload), 0) + payload


def pong_frame(payload: bytes) -> bytes:
    """One unmasked Pong; `payload` is the Ping's."""
    return _header(_PONG, len(payload), 0) + payload


def masked_pong_frame(payload: bytes, mask: bytes) -> bytes:
    """One masked Pong, as a client sends it."""
    return _header(_PONG, len(payload), _MASKED) + mask + xor(payload, mask)


def masked_close_frame(code: int, mask: bytes) -> bytes:
    """One masked Close without a reason, as a client sends it."""
    return _header(_CLOSE, 2, _MASKED) + mask + xor(struct.pack("!H", code), mask)


def close_frame(code: int, reason: str) -> bytes:
    """One unmasked Close; `reason` has 123 bytes of UTF-8 at most."""
    payload = struct.pack("!H", code) + reason.encode()
    return _header(_CLOSE, len(payload), 0) + payload


def is_close_frame(data: bytes) -> bool:
    """Whether `data` begins with a Close frame."""
    return data[:1] == b"\x88"


def xor(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask (RFC 6455 section 5.3). One big-integer XOR: 0.3 µs for 128 bytes, a byte loop takes 9 µs."""
    length = len(payload)
    pad = mask * (length // 4 + 1)
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pad[:length], "little")).to_bytes(length, "little")


def leading_text(data: bytes) -> tuple[bytes, int] | None:
    """The payload and the size of the unmasked text frame that `data` begins with; None for anything less ordinary than
    a whole frame of ASCII below 64 KiB, and for what is none of these."""
    if len(data) < 4 or data[0] != _TEXT or data[1] > 126:
        return None
    begin, length = (2, data[1]) if data[1] < 126 else (4, data[2] << 8 | data[3])
    payload = data[begin : begin + length]
    if len(payload) < length or not payload.isascii() or (begin == 4 and length <= _MAX_SHORT):
        return None
    return payload, begin + length


def _header(first: int, length: int, masked: int) -> bytes:
    if length <= _MAX_SHORT:
        return bytes((first, masked | length))
    if length <= _MAX_MEDIUM:
        return struct.pack("!BBH", first, masked | 126, length)
    return struct.pack("!BBQ", first, masked | 127, length)


class WholeFrames:
    """Splits received bytes into payloads of whole text frames and the rest, which the library must see.

    Theory of operation: frames are walked by their headers. A text frame with FIN, no reserved bits, the right masking,
    minimal length encoding, a length within `max_payload_bytes` and valid UTF-8 is taken. Ping and Pong go to the rest
    and the walk continues. At anything else (fragments, binary, Close, violations, too large) the lane goes `off` for
    good and every later byte goes to the rest: messages can then never overtake each other, by construction.

    Frames passed to the rest are still counted (`passed_frames`), because a flood of empty fragments or pings costs the
    library far more than its bytes suggest.
    """

    __slots__ = (
        "_buffer",
        "_masked",
        "_max_payload_bytes",
        "_on_ping",
        "_skip_bytes",
        "_taken",
        "fragments",
        "off",
        "passed_frames",
    )

    def __init__(
        self,
        *,
        masked: bool,
        max_payload_bytes: int,
        on_ping: Callable[[bytes], None] | None = None,
        binary: bool = False,
    ) -> None:
        """`masked`: True on a server (RFC 6455 section 5.1: clients mask, servers do not).

        `on_ping` gets the payload of each whole Ping, and Pongs are dropped: for one whose own pings need no matching
        answer. Without it both go to the library. `binary`: binary frames are taken instead of text.
        """
        self._taken = _BINARY if binary else _TEXT
        self._on_ping = on_ping
        self._masked = masked
        self._max_payload_bytes = max_payload_bytes
        self._buffer = b""  # The beginning of one frame: at most max_payload_bytes + 14 bytes.
        self._skip_bytes = 0  # While off: payload bytes still to come of the frame being walked.
        self.off = False
        self.passed_frames = 0
        self.fragments = 0
        """Frames so far of the message that is under way in fragments."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an incomplete frame that wait for their end."""
        return len(self._buffer)

    def take_back(self) -> bytes:
        """The beginning of an incomplete frame that waits for its end; it waits here no more."""
        begun, self._buffer = self._buffer, b""
        return begun

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take the whole frames out of `data`: (their unmasked payloads, the bytes for the library)."""
        if self.off:
            self._count_headers(data)
            return [], data
        if self._buffer:
            data = self._buffer + data
        payloads: list[bytes] = []
        passed: list[bytes] = []
        end = len(data)
        at = 0
        while end - at >= 2:
            first = data[at]
            length = data[at + 1] & 0x7F
            header = 2
            if length == 126:
                if end - at < 4:
                    break
                length = (data[at + 2] << 8) | data[at + 3]
                header = 4
                minimal = length > _MAX_SHORT
            elif length == 127:
                if end - at < 10:
                    break
                length = int.from_bytes(data[at + 2 : at + 10], "big")
                header = 10
                minimal = length > _MAX_MEDIUM
            else:
                minimal = True
            masked = data[at + 1] >= _MASKED
            if masked:
                header += 4
            good = minimal and masked is self._masked and length <= self._max_payload_bytes
            stop = at + header + length
            if first == self._taken and good:
                if stop > end:
                    break
                payload = data[at + header : stop]
                if masked:
                    payload = xor(payload, data[at + header - 4 : at + header])
                if first == _BINARY or _is_utf8(payload):
                    payloads.append(payload)
                    at = stop
                    continue
            elif first in (_PING, _PONG) and good and length <= _MAX_SHORT:
                if stop > end:
                    break
                if self._on_ping is None:
                    passed.append(data[at:stop])
                elif first == _PING:
                    payload = data[at + header : stop]
                    self._on_ping(xor(payload, data[at + header - 4 : at + header]) if masked else payload)
                self.passed_frames += 1
                at = stop
                continue
            self.off = True
            self._buffer = b""
            rest = data[at:]
            self._count_headers(rest)
            passed.append(rest)
            return payloads, b"".join(passed)
        self._buffer = data[at:] if at else data
        return payloads, b"".join(passed)

    def _count_headers(self, data: bytes) -> None:
        """Count the frames in bytes that the library will parse; only their headers are looked at."""
        data = self._buffer + data
        end = len(data)
        at = self._skip_bytes
        while end - at >= 2:
            length = data[at + 1] & 0x7F
            extra = {126: 2, 127: 8}.get(length, 0)
            header = 2 + extra + (4 if data[at + 1] >= _MASKED else 0)
            if end - at < header:
                break
            if extra:
                length = int.from_bytes(data[at + 2 : at + 2 + extra], "big")
            self.passed_frames += 1
            if data[at] & 0x0F < 0x8:  # Control frames may come between (RFC 6455 section 5.4).
                self.fragments = 0 if data[at] & 0x80 else self.fragments + 1
            at += header + length
        self._skip_bytes = max(0, at - end)
        self._buffer = data[at:]


def _is_utf8(payload: bytes) -> bool:
    if payload.isascii():
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
