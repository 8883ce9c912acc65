"""What a chat client tells the one who iterates over it.

Chat messages, private messages and presence are the wire's own values (`Publication`,
`DirectMessage`, `PresenceEvent`); this module adds what only a client knows.
"""

from dataclasses import dataclass

from scalechat.wire.messages import DirectMessage, ErrorAnswer, PresenceEvent, Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """We are in `room`: for the first time, or again after a reconnect (`resumed`).

    What was said before a first join is `history`. What was said while we were away follows as
    ordinary messages right after this event, `missed` in number; ``recovered=False`` says that
    the server no longer had all of it, so some messages are lost to us.
    """

    room: str
    members: int
    history: tuple[Publication, ...] = ()
    resumed: bool = False
    recovered: bool = False
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """The server did not let us back into `room` after a reconnect; we are no longer in it."""

    room: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The connection is gone and will be tried again by itself.

    Comes once for the loss (`attempt` 0) and once for each attempt that failed.
    """

    reason: str
    retry_in_s: float
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected:
    """The server welcomed us again after `away_s`; each room follows with its `Joined`."""

    away_s: float
    attempts: int


Event = Publication | DirectMessage | PresenceEvent | Joined | LeftBehind | Disconnected | Reconnected | ErrorAnswer
