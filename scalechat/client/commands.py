"""The grammar of the typed line: one table gives the parser, ``/help`` and the completion.

Pure: text in, a command out. A line without a leading slash is said in the current room; two
slashes say a text that begins with one.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

#: More than the server keeps by default is never answered; the bound keeps a typo from asking.
MAX_HISTORY = 200
DEFAULT_HISTORY = 20


@dataclass(frozen=True, slots=True)
class Say:
    """Say `text` in the current room."""

    text: str


@dataclass(frozen=True, slots=True)
class Join:
    """Enter `room`, or turn to it when already inside."""

    room: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave `room`; ``None`` is the current one."""

    room: str | None


@dataclass(frozen=True, slots=True)
class Tell:
    """Say `text` to one person."""

    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Who:
    """List who is in the current room."""


@dataclass(frozen=True, slots=True)
class History:
    """Show the last `limit` messages of the current room."""

    limit: int


@dataclass(frozen=True, slots=True)
class Help:
    """Show the commands."""


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave the chat."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """The line is no command; `advice` says what is, in one sentence."""

    advice: str


Command = Say | Join | Leave | Tell | Who | History | Help | Quit | Mistake


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: what to type, what it does, what completes after it."""

    name: str
    arguments: str
    meaning: str
    parse: Callable[[str], Command | None]
    completes: str = ""  # "rooms", "members" or nothing

    @property
    def usage(self) -> str:
        """What to type."""
        return f"/{self.name} {self.arguments}".rstrip()


def parse(line: str) -> Command | None:
    """Return what `line` asks for, or ``None`` when there is nothing in it.

    Never raises: a line that makes no sense is a `Mistake` with advice.
    """
    if not line.strip():
        return None
    if not line.startswith("/"):
        return Say(line)
    if line.startswith("//"):
        return Say(line[1:])
    word, _, rest = line[1:].partition(" ")
    entry = _BY_NAME.get(word.lower())
    if entry is None:
        return Mistake(_advice(word))
    return entry.parse(rest.strip()) or Mistake(f"usage: {entry.usage}")


def _advice(word: str) -> str:
    near = difflib.get_close_matches(word.lower(), _BY_NAME, n=1, cutoff=0.4)
    if near:
        return f"there is no /{word}; did you mean /{near[0]}?"
    return f"there is no /{word}; /help lists the commands"


def _join(rest: str) -> Command | None:
    return Join(rest) if _is_word(rest) else None


def _leave(rest: str) -> Command | None:
    if not rest:
        return Leave(None)
    return Leave(rest) if _is_word(rest) else None


def _tell(rest: str) -> Command | None:
    to, _, text = rest.partition(" ")
    text = text.strip()
    return Tell(to, text) if to and text else None


def _history(rest: str) -> Command | None:
    if not rest:
        return History(DEFAULT_HISTORY)
    if rest.isascii() and rest.isdigit() and 1 <= int(rest[:9]) <= MAX_HISTORY:
        return History(int(rest))
    return None


def _alone(command: Command) -> Callable[[str], Command | None]:
    return lambda rest: None if rest else command


def _is_word(text: str) -> bool:
    return bool(text) and len(text.split()) == 1


ENTRIES = (
    Entry("join", "ROOM", "enter a room, or turn to it", _join, completes="rooms"),
    Entry("leave", "[ROOM]", "leave this room, or another", _leave, completes="rooms"),
    Entry("msg", "NAME TEXT", "say something to one person", _tell, completes="members"),
    Entry("who", "", "who is in this room", _alone(Who())),
    Entry("history", "[N]", f"the last messages here (up to {MAX_HISTORY})", _history),
    Entry("help", "", "this list", _alone(Help())),
    Entry("quit", "", "leave the chat (also Ctrl-C, Ctrl-D)", _alone(Quit())),
)
_BY_NAME = {entry.name: entry for entry in ENTRIES}


@dataclass(frozen=True, slots=True)
class Known:
    """The names that can be completed now."""

    rooms: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


def complete(before_cursor: str, known: Known) -> tuple[tuple[str, str], ...]:
    """Return ``(word, meaning)`` for each word that may stand where the cursor is.

    The word replaces the last one before the cursor.
    """
    word, space, rest = before_cursor.partition(" ")
    if not space:
        if word.startswith("/") and not word.startswith("//"):
            return tuple(
                (f"/{entry.name}", entry.meaning) for entry in ENTRIES if entry.name.startswith(word[1:].lower())
            )
        return _starting_with(word, known.members)
    entry = _BY_NAME.get(word[1:].lower()) if word.startswith("/") else None
    if entry is not None and not entry.completes:
        return ()
    if entry is not None and entry.completes == "rooms":
        return _starting_with(rest, known.rooms)
    # Inside /msg after the name, and in anything said: the names of people.
    return _starting_with(before_cursor.rpartition(" ")[2], known.members)


def _starting_with(start: str, words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((word, "") for word in words if word.lower().startswith(start.lower()))
