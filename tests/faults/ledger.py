"""Who said what, what was acknowledged, who heard it, and what the difference is called.

A message is known by its text, which nobody says twice. Times are seconds of any one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(slots=True)
class Said:
    room: str
    sent_at_s: float
    acked_at_s: float | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What became of it all. Everything but the first four must be 0."""

    sent: int
    acked: int
    heard: int
    told: int
    """Acknowledged messages a listener did not get and was told about (`recovered: false`)."""
    lost: int
    """Acknowledged messages a listener did not get, and nobody told it."""
    duplicated: int
    reordered: int
    """Heard below a position heard before, or at another position than was acknowledged."""
    phantom: int
    """Heard and never said."""
    holes: int
    """Positions leapt over on a connection that stayed: the client noticed and resumed; a server never does this."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.reordered or self.phantom or self.holes)


@dataclass(slots=True)
class Listener:
    """One member's log, kept by whoever listens. It must be in the room before the first message is said."""

    room: str
    heard: list[tuple[str, int, int, float]] = field(default_factory=list)
    """(text, position, stretch, when): positions of one stretch belong to one log."""
    told_at_s: list[float] = field(default_factory=list)
    holes: int = 0

    def hear(self, text: str, seq: int, at_s: float) -> None:
        self.heard.append((text, seq, len(self.told_at_s), at_s))

    def learn_of_loss(self, at_s: float) -> None:
        """The server has said that it no longer has all of what came between."""
        self.told_at_s.append(at_s)


class Ledger:
    """All of one round's books."""

    def __init__(self) -> None:
        self._said: dict[str, Said] = {}
        self.listeners: list[Listener] = []

    def listen(self, room: str) -> Listener:
        listener = Listener(room)
        self.listeners.append(listener)
        return listener

    def sent(self, text: str, room: str, at_s: float) -> None:
        self._said[text] = Said(room, at_s)

    def acked(self, text: str, seq: int, at_s: float) -> None:
        said = self._said[text]
        said.acked_at_s, said.seq = at_s, seq

    def account(self) -> Account:
        lost = told = duplicated = reordered = phantom = 0
        for listener in self.listeners:
            texts = {text for text, *_ in listener.heard}
            duplicated += len(listener.heard) - len(texts)
            phantom += sum(text not in self._said or self._said[text].room != listener.room for text in texts)
            reordered += self._out_of_order(listener)
            for missed in self._missed(listener, texts):
                if any(missed <= told_at_s for told_at_s in listener.told_at_s):
                    told += 1
                else:
                    lost += 1
        return Account(
            sent=len(self._said),
            acked=sum(said.seq is not None for said in self._said.values()),
            heard=sum(len(listener.heard) for listener in self.listeners),
            told=told,
            lost=lost,
            duplicated=duplicated,
            reordered=reordered,
            phantom=phantom,
            holes=sum(listener.holes for listener in self.listeners),
        )

    def is_settled(self) -> bool:
        """Whether nobody waits for anything: everything acknowledged was heard, or its loss was told."""
        return self.account().lost == 0

    def recovered_after_s(self, since_s: float) -> float | None:
        """Seconds from `since_s` until every listener has heard something that was said after it; None: not yet."""
        recovered = since_s
        for listener in self.listeners:
            fresh = (
                at_s
                for text, _, _, at_s in listener.heard
                if at_s > since_s and text in self._said and self._said[text].sent_at_s > since_s
            )
            first = next(fresh, None)
            if first is None:
                return None
            recovered = max(recovered, first)
        return recovered - since_s

    def _missed(self, listener: Listener, texts: set[str]) -> list[float]:
        """When each acknowledged message was sent that the listener did not hear.

        Sent, not acknowledged: who is told of a loss is told for all that stood in the log by then, and an
        acknowledgement may still be on its way to the sender.
        """
        return [
            said.sent_at_s
            for text, said in self._said.items()
            if said.room == listener.room and said.acked_at_s is not None and text not in texts
        ]

    def _out_of_order(self, listener: Listener) -> int:
        backwards = sum(
            stretch == next_stretch and seq >= next_seq
            for (_, seq, stretch, _), (_, next_seq, next_stretch, _) in pairwise(listener.heard)
        )
        misplaced = sum(
            text in self._said and self._said[text].seq not in (None, seq) for text, seq, _, _ in listener.heard
        )
        return backwards + misplaced
