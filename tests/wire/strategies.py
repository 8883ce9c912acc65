"""What Hypothesis draws for the shared language: names, commands, answers, and byte streams of frames."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from scalechat.wire.frames import xor
from scalechat.wire.messages import (
    Ack,
    Command,
    DirectMessage,
    ErrorAnswer,
    Join,
    Leave,
    Left,
    Limits,
    PlainMessage,
    Position,
    Presence,
    PresenceEvent,
    PresenceMember,
    Publication,
    Publish,
    ReadHistory,
    ReadPresence,
    Reconnect,
    SendDirect,
    ServerSays,
    Welcome,
)

# --- words ----------------------------------------------------------------------------------------------------------

texts = st.text(max_size=40)
ids = st.none() | st.text(min_size=1, max_size=64)
names = st.text("abcÅß語9-_.", min_size=1, max_size=12).filter(lambda name: name[0] != ".")
positions = st.builds(Position, epoch=st.text(max_size=8), seq=st.integers(0, 2**53))
small_counts = st.integers(0, 1000)

commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Publish, text=texts, room=st.none() | names, client_id=st.none() | texts, id=ids),
    st.builds(SendDirect, to=names, text=texts, id=ids),
    st.builds(Join, room=names, since=st.none() | positions, history=small_counts, presence=st.booleans(), id=ids),
    st.builds(Leave, room=names, id=ids),
    st.builds(ReadHistory, room=names, before=st.none() | st.integers(0, 2**53), limit=small_counts, id=ids),
    st.builds(ReadPresence, room=names, id=ids),
)

publications = st.builds(
    Publication,
    client_id=names,
    text=texts,
    room=names,
    seq=st.integers(1, 2**53),
    ts_unix_ms=st.integers(0, 2**53),
    id=ids,
)

answers: st.SearchStrategy[ServerSays] = st.one_of(
    st.builds(
        Welcome,
        client_id=names,
        session=texts,
        protocol=texts,
        limits=st.builds(Limits, st.integers(0, 2**31), st.floats(0, 1e6)),
        heartbeat_ms=small_counts,
        id=ids,
    ),
    st.builds(Ack, room=st.none() | names, seq=st.none() | st.integers(1, 2**53), id=ids),
    st.builds(Left, room=names, id=ids),
    st.builds(
        Presence,
        room=names,
        members=st.lists(st.builds(PresenceMember, names, small_counts), max_size=3),
        count=small_counts,
        id=ids,
    ),
    st.builds(PresenceEvent, room=names, client_id=names, event=st.sampled_from(("join", "leave"))),
    st.builds(DirectMessage, client_id=names, to=names, text=texts, ts_unix_ms=st.integers(0, 2**53), id=ids),
    st.builds(ErrorAnswer, code=texts, detail=texts, id=ids),
    st.builds(Reconnect, after_ms=small_counts, reason=texts),
)

plain_messages = st.builds(PlainMessage, client_id=texts, text=texts)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

# --- frames ---------------------------------------------------------------------------------------------------------

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class Frame:
    """One client frame with everything that RFC 6455 section 5.2 lets a peer get wrong."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0
    mask: bytes | None = b"\x01\x80\xfe\x37"
    length_bytes: int = 0
    """Bytes of the extended length, when it is not to be the least that will do."""

    def encode(self) -> bytes:
        length = len(self.payload)
        extended = max(self.length_bytes, 0 if length <= 125 else 2 if length <= 0xFFFF else 8)
        short = {0: length, 2: 126, 8: 127}[extended]
        tail = {0: b"", 2: struct.pack("!H", length & 0xFFFF), 8: struct.pack("!Q", length)}[extended]
        head = bytes((self.fin << 7 | self.reserved << 4 | self.opcode, (self.mask is not None) << 7 | short))
        return head + tail + (self.payload if self.mask is None else self.mask + xor(self.payload, self.mask))


masks = st.binary(min_size=4, max_size=4)
utf8 = st.text(max_size=60).map(str.encode)
long_utf8 = st.tuples(st.sampled_from("aé語😀"), st.integers(30, 400)).map(lambda part: (part[0] * part[1]).encode())
bad_utf8 = st.sampled_from((b"\xff", b"ok \xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\x80def", b"\xc0\xaf"))
control_payloads = st.binary(max_size=125)

text_frames = st.builds(Frame, st.just(TEXT), utf8 | long_utf8, mask=masks)
control_frames = st.builds(Frame, st.sampled_from((PING, PONG)), control_payloads, mask=masks)
close_frames = st.builds(
    Frame,
    st.just(CLOSE),
    st.one_of(
        st.just(b""),
        st.sampled_from(
            (b"\x03\xe8", b"\x03\xe9bye", b"\x0f\xa8slow", b"\x03", b"\x03\xed", b"\x03\xe8\xff", b"\x00\x01")
        ),
        st.binary(max_size=20),
    ),
    mask=masks,
)
broken_frames = st.one_of(
    st.builds(Frame, st.just(TEXT), bad_utf8, mask=masks),
    st.builds(Frame, st.sampled_from((TEXT, PING)), utf8, reserved=st.integers(1, 7), mask=masks),
    st.builds(Frame, st.sampled_from((TEXT, PING)), utf8, mask=st.none()),
    st.builds(Frame, st.just(TEXT), st.binary(max_size=20), length_bytes=st.sampled_from((2, 8)), mask=masks),
    st.builds(Frame, st.sampled_from((PING, PONG)), st.binary(max_size=20), length_bytes=st.just(2), mask=masks),
    st.builds(Frame, st.sampled_from((PING, PONG)), st.binary(min_size=126, max_size=140), mask=masks),
    st.builds(Frame, st.sampled_from((PING, CLOSE)), control_payloads, fin=st.just(False), mask=masks),
    st.builds(Frame, st.sampled_from((0x3, 0x7, 0xB, 0xF)), utf8, mask=masks),
    st.builds(Frame, st.just(CONTINUATION), utf8, mask=masks),
)


@st.composite
def fragmented(draw: st.DrawFn) -> list[Frame]:
    """One text or binary message in several frames, with control frames in between."""
    opcode = draw(st.sampled_from((TEXT, TEXT, BINARY)))
    whole = draw(utf8 | bad_utf8) if opcode == TEXT else draw(st.binary(max_size=30))
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    frames: list[Frame] = []
    for at, part in enumerate(parts):
        frames += draw(st.lists(control_frames, max_size=1))
        kind = opcode if at == 0 else CONTINUATION
        frames.append(Frame(kind, part, fin=at == len(parts) - 1, mask=draw(masks)))
    return frames


def _one(frame: Frame) -> list[Frame]:
    return [frame]


def _flat(groups: Sequence[Sequence[Frame]]) -> list[Frame]:
    return [frame for group in groups for frame in group]


ordinary = text_frames.map(_one) | control_frames.map(_one)
anything = st.one_of(
    ordinary,
    ordinary,
    fragmented(),
    close_frames.map(_one),
    broken_frames.map(_one),
    st.builds(Frame, st.just(BINARY), st.binary(max_size=20), mask=masks).map(_one),
)
ordinary_streams = st.lists(ordinary, max_size=8).map(_flat)
"""Text messages, Pings and Pongs only: what the fast lane takes without ever leaving it."""
frame_streams = st.lists(anything, max_size=8).map(_flat)
"""Whole frames, well-formed or not."""


@st.composite
def cuts_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes as a network may hand them over."""
    if not data or draw(st.booleans()):
        return [data]
    if len(data) <= 300 and draw(st.booleans()):
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


@st.composite
def received(draw: st.DrawFn, streams: st.SearchStrategy[list[Frame]] = frame_streams) -> tuple[bytes, list[bytes]]:
    """A byte stream and one way of cutting it."""
    data = b"".join(frame.encode() for frame in draw(streams))
    return data, draw(cuts_of(data))
