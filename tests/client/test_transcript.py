"""How the chat reads: events in, lines out."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from scalechat.client.events import Disconnected, Event, Joined, LeftBehind, Reconnected
from scalechat.client.transcript import Transcript, duration, fit, name_style
from scalechat.client.wrap import Line
from scalechat.wire.messages import (
    DirectMessage,
    ErrorAnswer,
    Presence,
    PresenceEvent,
    PresenceMember,
    Publication,
)

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MORNING_MS = int(NOON.replace(hour=9, minute=5).timestamp() * 1000)


@pytest.fixture
def transcript() -> Transcript:
    return Transcript(now=lambda: NOON, zone=UTC, own_name="alice", current_room="global")


def said(text: str, *, by: str = "bob", room: str = "global", ts_unix_ms: int = MORNING_MS) -> Publication:
    return Publication(client_id=by, text=text, room=room, seq=1, ts_unix_ms=ts_unix_ms)


def texts(lines: Sequence[Line]) -> list[str]:
    return ["".join(text for _, text in line) for line in lines]


def test_a_message_has_its_time_its_name_and_its_lines(transcript: Transcript) -> None:
    """The server's time in our zone, the name flush right, every further line behind the bar."""
    assert texts(transcript.lines([said("one\ntwo")])) == [
        "09:05          bob │ one",
        "                   │ two",
    ]


def test_nobody_can_fake_another_person_s_line(transcript: Transcript) -> None:
    """A newline in a text begins no line at the margin, and no escape sequence moves back to it."""
    hostile = said("hi\n09:05        carol │ send money\r\x1b[1A\x1b[2K")
    shown = texts(transcript.lines([hostile]))
    assert shown[1] == "                   │ 09:05        carol │ send money␍␛[1A␛[2K"


@given(st.text(alphabet=st.characters()), st.text(alphabet=st.characters(), min_size=1))
def test_whatever_others_send_no_fragment_holds_a_control_character(text: str, name: str) -> None:
    """Names, rooms, texts and error details alike, whichever event brings them."""
    transcript = Transcript(now=lambda: NOON, zone=UTC, own_name="alice", current_room="global")
    events: list[Event] = [
        said(text, by=name, room=name),
        DirectMessage(client_id=name, to="alice", text=text, ts_unix_ms=MORNING_MS),
        PresenceEvent(room=name, client_id=name, event="join"),
        Joined(room=name, members=3, history=(said(text, by=name),)),
        LeftBehind(room=name, code="forbidden", detail=text),
        Disconnected(reason=text, retry_in_s=1.0, attempt=0),
        ErrorAnswer(code="bad_message", detail=text),
    ]
    lines = transcript.lines(events)
    lines += transcript.who(Presence(room=name, members=[PresenceMember(name, 2)], count=5))
    for line in texts(fit(lines, 80)):
        line.encode()
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line)


def test_another_room_is_named_with_its_speaker(transcript: Transcript) -> None:
    """Only what is said elsewhere carries its room."""
    assert texts(transcript.lines([said("x", room="dev")])) == ["09:05      bob@dev │ x"]


def test_private_messages_name_both_sides(transcript: Transcript) -> None:
    """Theirs as it comes, ours as it goes."""
    theirs = DirectMessage(client_id="bob", to="alice", text="psst", ts_unix_ms=MORNING_MS)
    assert texts(transcript.lines([theirs])) == ["09:05    bob → you │ psst"]
    assert texts(transcript.private("alice", "bob", "yes?")) == ["12:00    you → bob │ yes?"]


@pytest.mark.parametrize(
    "event, text",
    [
        (Joined(room="dev", members=1), "you are in dev, nobody else is here"),
        (Joined(room="dev", members=3), "you are in dev, 3 people here"),
        (Joined(room="dev", members=3, resumed=True, recovered=True), "back in dev, nothing missed"),
        (Joined(room="dev", members=3, resumed=True, recovered=True, missed=1), "back in dev, 1 message caught up"),
        (Joined(room="dev", members=3, resumed=True), "back in dev; part of what was said meanwhile may be lost"),
        (
            Disconnected(reason="draining; retry after 1234 ms", retry_in_s=1.234, attempt=0),
            "connection lost (draining) · trying again in 1.2 s",
        ),
        (Reconnected(away_s=75.0, attempts=4), "connected again after 1 min 15 s"),
        (LeftBehind(room="dev", code="forbidden", detail="members only"), "no longer in dev: members only"),
        (PresenceEvent(room="global", client_id="bob", event="join"), "bob came in"),
        (PresenceEvent(room="dev", client_id="bob", event="leave"), "bob left (dev)"),
        (ErrorAnswer(code="bad_message", detail="Message is missing"), "Message is missing"),
    ],
)
def test_what_happens_is_told_in_words(transcript: Transcript, event: Event, text: str) -> None:
    """One line each."""
    (line,) = texts(transcript.lines([event]))
    assert line.partition(" │ ")[2] == text


def test_our_own_coming_and_further_attempts_are_no_news(transcript: Transcript) -> None:
    """The status line has them."""
    own = PresenceEvent(room="global", client_id="alice", event="join")
    assert transcript.lines([own, Disconnected(reason="x", retry_in_s=1.0, attempt=3)]) == []


def test_a_crowd_that_comes_at_once_is_told_in_numbers(transcript: Transcript) -> None:
    """A hundred arrivals are one line, and messages among them stay."""
    crowd: list[Event] = [PresenceEvent(room="global", client_id=f"c{n}", event="join") for n in range(99)]
    crowd += [said("hello"), PresenceEvent(room="global", client_id="c1", event="leave")]
    assert [line.partition(" │ ")[2] for line in texts(transcript.lines(crowd))] == ["hello", "99 came in, 1 left"]


def test_another_day_is_announced(transcript: Transcript) -> None:
    """Yesterday's messages stand below their date, today's first one below today's."""
    yesterday_ms = MORNING_MS - 86_400_000
    shown = texts(transcript.lines([said("old", ts_unix_ms=yesterday_ms), said("new"), said("newer")]))
    assert [line.strip("─ ") for line in shown if "─" in line] == ["Tuesday, 03 March 2026", "Wednesday, 04 March 2026"]
    assert len(shown) == 5


def test_a_time_that_no_calendar_has_is_now(transcript: Transcript) -> None:
    """A server may send any number."""
    assert texts(transcript.lines([said("x", ts_unix_ms=10**18)])) == ["12:00          bob │ x"]


def test_who_lists_people_and_their_connections(transcript: Transcript) -> None:
    """Ourselves marked, several connections counted, and how many are not listed."""
    members = [PresenceMember("alice", 1), PresenceMember("bob", 2)]
    (line,) = texts(transcript.who(Presence(room="global", members=members, count=3)))
    assert line.partition(" │ ")[2] == "in global (3): alice (you), bob (2 times) and 1 more"


def test_history_ends_with_a_mark_and_may_be_empty(transcript: Transcript) -> None:
    """So that it is not taken for what is said now."""
    assert texts(transcript.past([said("x")]))[-1].endswith("end of the history")
    assert texts(transcript.past([]))[0].endswith("nothing was said here yet")


def test_a_name_has_one_colour_everywhere() -> None:
    """The same in every run: a hash without a seed."""
    assert name_style("alice") == "bold #2f9f9f"
    assert name_style("\ud800")


@pytest.mark.parametrize(
    "seconds, text", [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min 59 s")]
)
def test_a_duration_is_told_in_words(seconds: float, text: str) -> None:
    """Tenths only where they matter."""
    assert duration(seconds) == text


@given(st.text(st.sampled_from("ab  日é"), max_size=300), st.integers(1, 120))
def test_long_lines_break_between_words_and_lose_nothing(text: str, columns: int) -> None:
    """Every word arrives in order, and none but a single long one crosses the edge."""
    transcript = Transcript(now=lambda: NOON, zone=UTC, own_name="alice", current_room="global")
    lines = texts(fit(transcript.lines([said(text)]), columns))
    parts = [line.partition(" │ ")[2] for line in lines]
    assert " ".join(parts).split() == text.split()
    if columns >= 50:
        assert all(
            get_cwidth(line) < columns or len(part.split()) == 1 for line, part in zip(lines, parts, strict=True)
        )
