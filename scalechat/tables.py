"""What stands in the tables of a scenario file, typed: settings too large for a flag.

`msgspec` reads them, so an unknown key or a wrong type is refused with its place in the table.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

PLACEHOLDERS: Final = ("room", "client_id", "client", "token", "message", "number", "size")
"""What ``{…}`` may name in a template; `message`, `number` and `size` only in what is published."""
PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
"""Braces around a bare word. JSON's own braces never enclose one: its keys have quotes."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of all tables."""


class Where(_Table, frozen=True, kw_only=True):
    """A place in what the server sends: a JSON pointer (RFC 6901), or a regular expression.

    The expression is searched for; its first group is what is meant, or all of it when it has no group.
    """

    json: str | None = None
    regex: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be looked for."""
        if (self.json is None) == (self.regex is None):
            raise ValueError("needs either json or regex")
        if self.json is not None and self.json and not self.json.startswith("/"):
            raise ValueError(f"json = {self.json!r} is no JSON pointer: it begins with /")
        if self.regex is not None:
            _compilable(self.regex)


class Replying(_Table, frozen=True, kw_only=True):
    """What the server says, wherever in a frame → what to answer."""

    to: Where
    send: str

    def __post_init__(self) -> None:
        """Refuse placeholders nobody fills."""
        _known(self.send, PLACEHOLDERS[:4])


class Heartbeat(_Table, frozen=True, kw_only=True):
    """What every client says now and then, so that the server does not think it is gone."""

    every_s: int
    send: str

    def __post_init__(self) -> None:
        """Refuse what is no period, and placeholders nobody fills."""
        if self.every_s < 1:
            raise ValueError("every_s must be a whole number of seconds, at least 1")
        _known(self.send, PLACEHOLDERS[:4])


class Template(_Table, frozen=True, kw_only=True):
    """A protocol, described: what is sent, and what the server's answers mean."""

    publish: str
    """One message, with ``{message}`` where its text goes."""
    delivery: Where
    """Where a delivery carries that text."""
    connect: tuple[str, ...] = ()
    """Frames to send when the WebSocket is open."""
    joined: Where | None = None
    """What says that the client is a member of its room; without it, a client is one when `connect` is sent."""
    ack: Where | None = None
    """Where an acknowledgement carries the ``{number}`` of a message."""
    error: Where | None = None
    """What the server says when it refuses something: counted, with the text as an example."""
    ignore: Where | None = None
    """What else is known and means nothing."""
    answers: dict[str, str] = {}
    """What the server says, exactly → what to answer."""
    replies: tuple[Replying, ...] = ()
    """The same for what is not always the same; the first that fits counts."""
    heartbeat: Heartbeat | None = None
    """What clients have to say by themselves to be kept."""
    frame: Literal["text", "binary"] = "text"
    """What we send, and what is expected to come (the other kind is understood too, but slowly)."""
    unit: str | None = None
    """What one message of the protocol looks like (a regular expression), where frames are no borders: one frame may
    hold several, and one may be spread over frames. Without it, each frame is one."""
    path: str | None = None
    """Path and query to ask for; those of --server-url when not given."""
    subprotocols: tuple[str, ...] = ()
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse placeholders nobody fills, and a publication without its text."""
        if "{message}" not in self.publish:
            raise ValueError("publish needs {message} where the text of a message goes")
        if self.unit is not None:
            _compilable(self.unit)
        early = (*self.connect, *self.answers.values(), *self.headers.values(), self.path or "")
        for text in early:
            _known(text, PLACEHOLDERS[:4])
        _known(self.publish, PLACEHOLDERS)


def _known(text: str, allowed: tuple[str, ...]) -> None:
    for name in PLACEHOLDER.findall(text):
        if name not in allowed:
            raise ValueError(f"{{{name}}} is no placeholder here: there are {', '.join(allowed)}")


def _compilable(pattern: str) -> None:
    try:
        re.compile(pattern.encode())
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
