"""What a faulty server does wrong: probabilities and times, as a value that also a process can be told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Lies:
    """Probabilities for each delivery, and apart from that what is said below."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """It comes later than it should, and others overtake it."""
    delay: float = 0.0
    """It comes later, and everything after it for this member waits as well."""
    corrupt: float = 0.0
    """A character of the text is another one; what carries it is intact."""
    tear: float = 0.0
    """The end of the frame is missing."""
    swap: float = 0.0
    """Under its id comes the text of another message (v1)."""
    phantom: float = 0.0
    """Before it, something comes that nobody published."""
    strange_id: float = 0.0
    """Before it, its text comes under an id that nobody published (v1)."""
    reject: float = 0.0
    """Of a publication: refused, and told so (v1)."""
    renege: float = 0.0
    """Of a publication: refused, told so before or after, and broadcast all the same (v1)."""
    mute: float = 0.0
    """Of a publication: broadcast, and never acknowledged (v1)."""
    ack_late: float = 0.0
    """Of a publication: broadcast, and acknowledged some time after that (v1)."""
    ack_only: float = 0.0
    """Of a publication: acknowledged, and delivered to nobody."""
    swallow: float = 0.0
    """Of a publication: neither broadcast nor acknowledged."""
    astray: float = 0.0
    """Of a publication: somebody in each other room gets it as well."""
    rewind: int = 0
    """Who resumes is told so many messages that it had (v1)."""
    forgets: Sequence[float] = ()
    """Seconds of Trio's clock: then the positions of all rooms begin anew, and nobody is told (v1)."""
    refuse: float = 0.0
    """Of a connection but the first: HTTP 503, or hung up on."""
    accept_s: float = 0.0
    """So long a connection waits for its handshake."""
    kills: Sequence[float] = ()
    """Seconds of Trio's clock: then one connection is cut."""
    closes: Sequence[float] = ()
    """The same, with a Close frame after all that is on its way."""
    in_silence: int = 0
    """When nothing has come in for `broadcaster.SILENCE_S`, so many connections are cut, and as many closed."""
    stalls: Sequence[tuple[float, float]] = ()
    """(from, until) in seconds of Trio's clock: what arrives meanwhile is broadcast at the end."""
    seed: int = 0

    @property
    def of_plain(self) -> Lies:
        """What of it a server without acknowledgements and ids can do."""
        v1_only = ("swap", "strange_id", "reject", "renege", "mute", "ack_late", "rewind", "forgets")
        return Lies(**{name: value for name, value in asdict(self).items() if name not in v1_only})


def described(lies: Lies) -> str:
    """As `lies_of` reads it."""
    return json.dumps(asdict(lies))


def lies_of(text: str) -> Lies:
    """The mirror of `described`."""
    return Lies(**json.loads(text))
