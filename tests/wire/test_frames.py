import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import ConnectionType

from scalechat.wire import closing
from scalechat.wire.closing import CLOSINGS, reason_text
from scalechat.wire.frames import (
    WholeFrames,
    close_frame,
    is_close_frame,
    leading_text,
    masked_text_frame,
    ping_frame,
    pong_frame,
    text_frame,
    xor,
)
from tests.wire import strategies
from tests.wire.reference import Library, Seen, understood
from tests.wire.strategies import BINARY, CONTINUATION, PING, PONG, TEXT, Frame, received

MAX_PAYLOAD = 300
HEADER = 14
"""The longest frame header: two bytes, eight of length, four of mask."""
EDGES = [0, 1, 125, 126, 127, 65535, 65536, 70000]
MASK = b"\x0a\x0b\xf0\xff"


def _lane(*, masked: bool = True, max_payload_bytes: int = MAX_PAYLOAD) -> WholeFrames:
    return WholeFrames(masked=masked, max_payload_bytes=max_payload_bytes)


def _feed(lane: WholeFrames, chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    payloads: list[bytes] = []
    rest = b""
    for chunk in chunks:
        taken, passed = lane.feed(chunk)
        payloads += taken
        rest += passed
    return payloads, rest


def _counts(lane: WholeFrames) -> tuple[bool, int, int]:
    return lane.off, lane.passed_frames, lane.fragments


def _both_lanes(chunks: list[bytes], lane: WholeFrames) -> Seen:
    """What the fast lane and the library behind it see together."""
    library = Library()
    for chunk in chunks:
        payloads, rest = lane.feed(chunk)
        library.seen.texts += [payload.decode() for payload in payloads]
        if rest:
            library.feed(rest)
    return library.seen


# --- frames that we make --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", EDGES)
def test_a_text_frame_is_understood_at_every_length_encoding(length: int) -> None:
    """Short, 16-bit and 64-bit lengths decode to the same text with wsproto."""
    assert understood([text_frame(b"x" * length)], ConnectionType.CLIENT).texts == ["x" * length]


@pytest.mark.parametrize("length", EDGES)
def test_a_masked_text_frame_is_understood_by_a_server(length: int) -> None:
    """What a client sends decodes to the same text with wsproto."""
    assert understood([masked_text_frame(b"x" * length, MASK)]).texts == ["x" * length]


@given(st.text(max_size=300))
def test_any_text_survives_its_frame(text: str) -> None:
    """Frames do not care what they carry."""
    assert understood([text_frame(text.encode())], ConnectionType.CLIENT).texts == [text]


@given(st.binary(max_size=125))
def test_a_ping_is_understood(payload: bytes) -> None:
    """With any payload that RFC 6455 section 5.5 allows, and with none."""
    assert understood([ping_frame(payload)], ConnectionType.CLIENT).controls == [("ping", payload)]


@given(st.binary(max_size=125))
def test_a_pong_is_understood(payload: bytes) -> None:
    """It carries what the Ping carried."""
    assert understood([pong_frame(payload)], ConnectionType.CLIENT).controls == [("pong", payload)]


@given(
    st.sampled_from([c for c in CLOSINGS.values() if c not in (closing.LOST, closing.NO_CODE)]),
    st.text(),
    st.none() | st.integers(0, 10**9),
)
def test_every_close_of_the_table_is_understood(why: closing.Closing, detail: str, retry_ms: int | None) -> None:
    """Code and reason arrive, however long the detail is."""
    frame = close_frame(why.code, reason_text(why, detail=detail, retry_after_ms=retry_ms))
    assert is_close_frame(frame)
    assert understood([frame], ConnectionType.CLIENT).close_code == why.code


@pytest.mark.parametrize("data", [b"", text_frame(b"\x88"), ping_frame(), b"HTTP/1.1 101 Switching Protocols\r\n"])
def test_other_bytes_are_no_close_frame(data: bytes) -> None:
    """Only the first byte tells what a frame is."""
    assert not is_close_frame(data)


@given(st.binary(max_size=600), strategies.masks)
def test_masking_is_a_byte_by_byte_xor_and_its_own_opposite(payload: bytes, mask: bytes) -> None:
    """RFC 6455 section 5.3, said in one line."""
    masked = xor(payload, mask)
    assert masked == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert xor(masked, mask) == payload


# --- frames that we take --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, MAX_PAYLOAD])
def test_a_whole_text_frame_is_taken_at_every_length_encoding(length: int) -> None:
    """The common case never reaches the library."""
    assert _lane().feed(masked_text_frame(b"x" * length, MASK)) == ([b"x" * length], b"")


def test_a_long_frame_is_taken_when_the_limit_allows_it() -> None:
    """The 64-bit length is understood as well."""
    lane = _lane(max_payload_bytes=70_000)
    assert lane.feed(masked_text_frame(b"x" * 70_000, MASK)) == ([b"x" * 70_000], b"")


def test_a_client_takes_unmasked_frames() -> None:
    """The same lane serves the other direction, where masking is forbidden."""
    assert _lane(masked=False).feed(text_frame(b"hi")) == ([b"hi"], b"")


@pytest.mark.parametrize(
    "masked, frame", [(True, text_frame(b"hi")), (False, masked_text_frame(b"hi", MASK))], ids=["server", "client"]
)
def test_the_wrong_masking_is_left_to_the_library(masked: bool, frame: bytes) -> None:
    """RFC 6455 section 5.1 wants the connection closed, which is the library's business."""
    assert _lane(masked=masked).feed(frame) == ([], frame)


def test_nothing_is_taken_after_the_first_frame_that_was_left() -> None:
    """Messages can never overtake each other: after one fragment the library has everything."""
    lane = _lane()
    fragment = Frame(TEXT, b"be", fin=False).encode()
    whole = masked_text_frame(b"after", MASK)
    assert lane.feed(masked_text_frame(b"before", MASK) + fragment + whole) == ([b"before"], fragment + whole)
    assert (lane.feed(whole), lane.off) == (([], whole), True)


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_control_frames_go_to_the_library_and_the_lane_goes_on(opcode: int) -> None:
    """A client that pings keeps its fast lane."""
    lane = _lane()
    control = Frame(opcode, b"?").encode()
    whole = masked_text_frame(b"hi", MASK)
    assert lane.feed(whole + control + whole) == ([b"hi", b"hi"], control)
    assert not lane.off


def test_a_lane_that_answers_pings_gives_the_library_no_control_frames() -> None:
    """Pings go to the one who asked for them, Pongs nowhere; both are counted, and the lane goes on."""
    pinged: list[bytes] = []
    lane = WholeFrames(masked=True, max_payload_bytes=MAX_PAYLOAD, on_ping=pinged.append)
    whole = masked_text_frame(b"hi", MASK)
    data = Frame(PING, b"?").encode() + whole + Frame(PONG, b"!").encode() + Frame(PING, b"").encode() + whole
    assert _feed(lane, [data[:9], data[9:]]) == ([b"hi", b"hi"], b"")
    assert (pinged, _counts(lane)) == ([b"?", b""], (False, 3, 0))


def test_a_client_may_answer_pings_as_well() -> None:
    """In its direction they are not masked."""
    pinged: list[bytes] = []
    lane = WholeFrames(masked=False, max_payload_bytes=MAX_PAYLOAD, on_ping=pinged.append)
    assert lane.feed(ping_frame(b"?") + text_frame(b"hi")) == ([b"hi"], b"")
    assert pinged == [b"?"]


@given(received())
def test_a_lane_that_answers_pings_leaves_everything_else_to_the_library(stream: tuple[bytes, list[bytes]]) -> None:
    """Together they still see every message, every Ping and the close code; Pongs may go unseen."""
    data, chunks = stream
    lane_pings: list[tuple[str, bytes]] = []
    lane = WholeFrames(
        masked=True,
        max_payload_bytes=MAX_PAYLOAD,
        on_ping=lambda payload: lane_pings.append(("ping", payload)),
    )
    both, alone = _both_lanes(chunks, lane), understood([data])
    assert (both.texts, both.binaries, both.close_code) == (alone.texts, alone.binaries, alone.close_code)
    pings = [control for control in lane_pings + both.controls if control[0] == "ping"]
    assert pings == [control for control in alone.controls if control[0] == "ping"]


@given(st.binary(max_size=200) | st.binary(max_size=150).map(lambda tail: b"\x81\x7e" + tail))
def test_whatever_is_taken_as_a_leading_text_the_lane_takes_as_well(data: bytes) -> None:
    """From what no lane would take, nothing is taken on the shorter way either."""
    found = leading_text(data)
    if found is not None:
        payload, size = found
        assert _lane(masked=False).feed(data[:size]) == ([payload], b"")


@pytest.mark.parametrize("length", [2, 125, 126, 65535])
def test_a_leading_text_is_recognised(length: int) -> None:
    """With whatever comes behind it, and not before its last byte is there."""
    frame = text_frame(b"x" * length)
    assert leading_text(frame + b"\x81") == (b"x" * length, len(frame))
    assert leading_text(frame[:-1]) is None


@pytest.mark.parametrize(
    "data",
    [
        text_frame("ü".encode()),
        text_frame(b"x" * 65536),
        masked_text_frame(b"hi", MASK),
        ping_frame(b"hi"),
        b"\x81\x7e\x00\x02hi",
    ],
    ids=["not ASCII", "long", "masked", "a ping", "a length that is not minimal"],
)
def test_what_is_less_ordinary_than_a_text_goes_the_long_way(data: bytes) -> None:
    """The lane knows what to do with it."""
    assert leading_text(data) is None


@given(received())
def test_the_network_may_cut_a_stream_anywhere(stream: tuple[bytes, list[bytes]]) -> None:
    """The payloads, the rest and the count depend on the bytes alone, not on how they arrived."""
    data, chunks = stream
    at_once, in_pieces = _lane(), _lane()
    assert _feed(at_once, [data]) == _feed(in_pieces, chunks)
    assert _counts(at_once) == _counts(in_pieces)


@given(st.binary(max_size=200), st.data())
def test_arbitrary_bytes_may_be_cut_anywhere(data: bytes, drawn: st.DataObject) -> None:
    """The same for bytes that are no frames at all."""
    chunks = drawn.draw(strategies.cuts_of(data))
    at_once, in_pieces = _lane(), _lane()
    assert _feed(at_once, [data]) == _feed(in_pieces, chunks)
    assert _counts(at_once) == _counts(in_pieces)


@given(received())
@example((b"\x81\x80", [b"\x81", b"\x80"]))
def test_two_lanes_see_what_one_authority_sees(stream: tuple[bytes, list[bytes]]) -> None:
    """Lane and library together find the messages, controls and close code that wsproto alone finds."""
    data, chunks = stream
    assert _both_lanes(chunks, _lane()) == understood([data])


@given(received(strategies.ordinary_streams), st.integers(0, 60))
def test_two_lanes_agree_whatever_the_size_limit(stream: tuple[bytes, list[bytes]], limit: int) -> None:
    """A message over the lane's limit is the library's to judge; none is lost or doubled by that."""
    data, chunks = stream
    assert _both_lanes(chunks, _lane(max_payload_bytes=limit)) == understood([data])


@given(st.binary(max_size=200) | received().map(lambda stream: stream[0][:-1]), st.data())
def test_two_lanes_agree_about_bytes_that_end_within_a_frame(data: bytes, drawn: st.DataObject) -> None:
    """The same messages; the verdict is the same as well, or waits for the end of the frame."""
    lane = _lane()
    both, alone = _both_lanes(drawn.draw(strategies.cuts_of(data)), lane), understood([data])
    assert both.texts == alone.texts
    if not lane.buffered_bytes or lane.off:
        assert both.close_code == alone.close_code


@given(st.lists(strategies.anything, max_size=8).map(lambda groups: [f for g in groups for f in g]), st.data())
def test_every_frame_is_either_taken_or_counted(frames: list[Frame], drawn: st.DataObject) -> None:
    """A flood of frames that cost the library much and their sender nothing can be seen."""
    data = b"".join(frame.encode() for frame in frames)
    lane = _lane()
    payloads, _ = _feed(lane, drawn.draw(strategies.cuts_of(data)))
    assert lane.passed_frames == len(frames) - len(payloads)


def test_a_flood_of_empty_fragments_is_counted() -> None:
    """Six bytes each on the wire, and each costs the library a full turn."""
    lane = _lane()
    empty = Frame(CONTINUATION, b"", fin=False).encode()
    _feed(lane, [Frame(TEXT, b"", fin=False).encode()] + [empty * 100] * 10)
    assert lane.passed_frames == 1001


def test_the_fragments_of_the_message_under_way_are_counted() -> None:
    """Control frames between them are none; the last fragment begins the count anew, and so does a whole message."""
    lane = _lane()
    begin, more, end = (
        Frame(opcode, b"x", fin=fin).encode()
        for opcode, fin in ((TEXT, False), (CONTINUATION, False), (CONTINUATION, True))
    )
    counts = []
    for data in (begin, more, Frame(PING, b"").encode(), more, end, begin, end, Frame(TEXT, b"hi").encode()):
        lane.feed(data)
        counts.append(lane.fragments)
    assert counts == [1, 2, 2, 3, 0, 1, 0, 0]


@given(received(), st.integers(0, MAX_PAYLOAD))
def test_what_waits_for_its_end_is_bounded(stream: tuple[bytes, list[bytes]], limit: int) -> None:
    """At most one frame of the allowed size is held back, ever."""
    lane = _lane(max_payload_bytes=limit)
    for chunk in stream[1]:
        lane.feed(chunk)
        assert lane.buffered_bytes <= limit + HEADER


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
def test_an_announced_giant_is_not_waited_for(opcode: int) -> None:
    """A header that announces 2**63 - 1 bytes goes to the library at once, and so does all that follows."""
    lane = _lane()
    header = bytes((0x80 | opcode, 0xFF)) + b"\x7f" + b"\xff" * 7 + MASK
    assert lane.feed(header) == ([], header)
    assert lane.feed(b"x" * 5000) == ([], b"x" * 5000)
    assert (lane.buffered_bytes, lane.passed_frames) == (0, 1)


def test_a_frame_that_is_not_whole_yet_is_not_passed_on() -> None:
    """All but the last byte is kept back, so that the library never sees half of what the lane takes."""
    lane = _lane()
    frame = masked_text_frame(b"hello", MASK)
    assert lane.feed(frame[:-1]) == ([], b"")
    assert lane.buffered_bytes == len(frame) - 1
    assert lane.feed(frame[-1:]) == ([b"hello"], b"")
