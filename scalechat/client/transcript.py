"""How the chat reads on a screen: events in, lines of styled fragments out. Pure; no terminal here.

Everything that other people chose, names included, goes through ``visible``: no fragment of a line
can hold a control character.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from prompt_toolkit.utils import get_cwidth

from scalechat.client.commands import ENTRIES
from scalechat.client.events import (
    Disconnected,
    Event,
    Joined,
    LeftBehind,
    Reconnected,
)
from scalechat.client.visible import visible, visible_lines
from scalechat.client.wrap import Fragment, Line, wrap
from scalechat.wire.messages import (
    DirectMessage,
    ErrorAnswer,
    Presence,
    PresenceEvent,
    Publication,
)

#: Middle tones: readable on a dark and on a light background alike (contrast of 3 or more on both).
NAME_COLOURS = (
    "#d7875f", "#5f87d7", "#5f9f3f", "#af5fd7", "#d75f87", "#2f9f9f", "#af8700", "#8787d7", "#d75f5f", "#5f8787",
)  # fmt: skip
#: Names are flush right in this many columns; a longer one pushes its own line only.
NAME_COLUMNS = 12
#: More arrivals and departures than this at one time are told as numbers.
PRESENCE_SHOWN = 4

_BAR = ("class:bar", " │ ")
_TIME_COLUMNS = 5
_GUTTER: Line = [("", " " * (_TIME_COLUMNS + 1 + NAME_COLUMNS)), _BAR]


def name_style(name: str) -> str:
    """The colour of `name`: the same in every run and on every screen."""
    return "bold " + NAME_COLOURS[zlib.crc32(name.encode(errors="replace")) % len(NAME_COLOURS)]


def local_now() -> datetime:
    """The time here, with its zone."""
    return datetime.now().astimezone()


def duration(seconds: float) -> str:
    """`seconds` in words."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def fit(lines: Iterable[Line], columns: int) -> list[Line]:
    """Break `lines` so that they fit on a screen so wide."""
    return [part for line in lines for part in wrap(line, _GUTTER, columns)]


def count(number: int, one: str, many: str) -> str:
    """`number` with its noun."""
    return f"{number} {one if number == 1 else many}"


@dataclass(slots=True)
class Transcript:
    """Turns events into lines, remembering only the day last shown.

    `now` gives the local time, for what has no server time of its own.
    """

    now: Callable[[], datetime]
    zone: tzinfo | None = None
    own_name: str = ""
    current_room: str | None = None
    _day: str = ""

    # ---- events ----------------------------------------------------------------------------

    def lines(self, events: Sequence[Event]) -> list[Line]:
        """Return the lines for `events` that came together."""
        moves = [event for event in events if isinstance(event, PresenceEvent)]
        shown: list[Line] = []
        for event in events:
            if isinstance(event, PresenceEvent) and len(moves) > PRESENCE_SHOWN:
                continue
            shown += self._event(event)
        if len(moves) > PRESENCE_SHOWN:
            came = sum(event.event == "join" for event in moves)
            shown.append(self.notice(f"{came} came in, {len(moves) - came} left"))
        return shown

    def _event(self, event: Event) -> list[Line]:
        match event:
            case Publication():
                return self._said(event)
            case DirectMessage(client_id=by, to=to, text=text, ts_unix_ms=ts_unix_ms):
                return self.private(by, to, text, self._local(ts_unix_ms))
            case PresenceEvent(room=room, client_id=name, event=what):
                if name == self.own_name:
                    return []
                move = "came in" if what == "join" else "left"
                mark = "●" if what == "join" else "○"
                where = "" if room == self.current_room else f" ({room})"
                return [self._marked(mark, "class:presence", f"{name} {move}{where}")]
            case Joined():
                return self._joined(event)
            case LeftBehind(room=room, detail=detail):
                return [self.error(f"no longer in {room}: {detail}")]
            case Disconnected(reason=reason, retry_in_s=retry_in_s, attempt=0):
                words = reason.partition("; retry after")[0]
                return [self.warning(f"connection lost ({words}) · trying again in {duration(retry_in_s)}")]
            case Disconnected():
                return []  # the status line counts them
            case Reconnected(away_s=away_s):
                return [self.good(f"connected again after {duration(away_s)}")]
            case ErrorAnswer(detail=detail):
                return [self.error(detail)]

    def _said(self, message: Publication) -> list[Line]:
        at = self._local(message.ts_unix_ms)
        style, label = self._name(message.client_id)
        if message.room != self.current_room:
            label += f"@{visible(message.room)}"  # no name holds an @, so nobody can pretend
        return [*self._day_change(at), *self._speech(at, (style, label), visible_lines(message.text), "")]

    def private(self, by: str, to: str, text: str, at: datetime | None = None) -> list[Line]:
        """A private message, ours or theirs."""
        at = at or self.now()
        ours = by == self.own_name
        label = f"you → {visible(to)}" if ours else f"{visible(by)} → you"
        lines = self._speech(at, (name_style(to if ours else by), label), visible_lines(text), "italic")
        return [*self._day_change(at), *lines]

    def _joined(self, event: Joined) -> list[Line]:
        room = event.room
        if not event.resumed:
            there = "nobody else is here" if event.members <= 1 else f"{count(event.members, 'person', 'people')} here"
            past = [line for message in event.history for line in self._said(message)]
            return [*past, self.good(f"you are in {room}, {there}")]
        if event.recovered:
            missed = f"{count(event.missed, 'message', 'messages')} caught up" if event.missed else "nothing missed"
            return [self.good(f"back in {room}, {missed}")]
        return [self.warning(f"back in {room}; part of what was said meanwhile may be lost")]

    # ---- answers ---------------------------------------------------------------------------

    def past(self, messages: Iterable[Publication]) -> list[Line]:
        """What ``/history`` shows."""
        lines = [line for message in messages for line in self._said(message)]
        return [*lines, self.notice("end of the history")] if lines else [self.notice("nothing was said here yet")]

    def who(self, presence: Presence) -> list[Line]:
        """What ``/who`` shows."""
        line = self._marked("·", "class:notice", f"in {presence.room} ({presence.count}): ")
        for number, member in enumerate(presence.members):
            times = f" ({member.connections} times)" if member.connections > 1 else ""
            you = " (you)" if member.client_id == self.own_name else ""
            comma = ", " if number else ""
            line += [("class:notice", comma), self._name(member.client_id), ("class:notice", times + you)]
        if presence.count > len(presence.members):
            line.append(("class:notice", f" and {presence.count - len(presence.members)} more"))
        return [line]

    def help(self) -> list[Line]:
        """What ``/help`` shows."""
        widest = max(len(entry.usage) for entry in ENTRIES)
        lines = [
            [*_GUTTER, ("bold", entry.usage.ljust(widest)), ("class:notice", f"  {entry.meaning}")] for entry in ENTRIES
        ]
        rest = "anything else is said in the room; //… says a text that begins with a slash; Tab completes"
        return [*lines, [*_GUTTER, ("class:notice", rest)]]

    def notice(self, text: str) -> Line:
        """Something to know."""
        return self._marked("·", "class:notice", text)

    def good(self, text: str) -> Line:
        """Something that went well."""
        return self._marked("✓", "class:good", text)

    def warning(self, text: str) -> Line:
        """Something that went wrong and repairs itself, or cannot be helped."""
        return self._marked("!", "class:warning", text)

    def error(self, text: str) -> Line:
        """Something that was not done."""
        return self._marked("✗", "class:error", text)

    # ---- the grid --------------------------------------------------------------------------

    def _speech(self, at: datetime, name: Fragment, text: Sequence[str], style: str) -> list[Line]:
        indent = " " * max(0, NAME_COLUMNS - get_cwidth(name[1]))
        first = [("class:time", f"{at:%H:%M} "), ("", indent), name, _BAR, (style, text[0])]
        return [first, *([*_GUTTER, (style, line)] for line in text[1:])]

    def _marked(self, mark: str, style: str, text: str) -> Line:
        at = ("class:time", f"{self.now():%H:%M} ")
        return [at, (style, mark.rjust(NAME_COLUMNS)), _BAR, (style, visible(text))]

    def _name(self, name: str) -> Fragment:
        return name_style(name), visible(name)

    def _day_change(self, at: datetime) -> list[Line]:
        day = f"{at:%A, %d %B %Y}"
        before, self._day = self._day, day
        # The first day is worth a line only when it is not today's.
        if day == (before or f"{self.now():%A, %d %B %Y}"):
            return []
        return [[("class:time", f"{'─' * _TIME_COLUMNS}  {day}  {'─' * _TIME_COLUMNS}")]]

    def _local(self, ts_unix_ms: int) -> datetime:
        try:
            return datetime.fromtimestamp(ts_unix_ms / 1000, self.zone).astimezone(self.zone)
        except (ValueError, OverflowError, OSError):
            return self.now()  # a time no calendar has
