"""Two ways to be spared decoding what other connections have received before: knowing it again, and expecting it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class SharedReader(Generic[T]):
    """Decodes runs of whole frames for many connections, and remembers what equal chunks meant.

    `decode` turns the payloads of one chunk into a value; it must depend on nothing but the payloads. At most
    `remember_bytes` of chunks are kept: when full, all are forgotten, which costs a parse each and no bookkeeping.
    """

    __slots__ = ("_known", "_known_bytes", "_remember_bytes", "decode")

    def __init__(self, decode: Callable[[Sequence[bytes]], T], *, remember_bytes: int = 4 * 1024 * 1024) -> None:
        self.decode = decode
        self._remember_bytes = remember_bytes
        self._known: dict[bytes, T] = {}
        self._known_bytes = 0

    def recall(self, chunk: bytes) -> T | None:
        """What this chunk meant, when it was seen and began and ended with whole text frames."""
        return self._known.get(chunk)

    def learn(self, chunk: bytes, payloads: Sequence[bytes]) -> T:
        """Decode a chunk of nothing but whole text frames and remember it."""
        value = self.decode(payloads)
        if self._known_bytes > self._remember_bytes:
            self._known.clear()
            self._known_bytes = 0
        self._known[chunk] = value
        self._known_bytes += len(chunk)
        return value


class Follower(Protocol):
    """Somebody who knows what is about to come, because others have received it before."""

    @property
    def awaits(self) -> bool:
        """Whether it is known what comes next, apart from what is for this connection alone."""
        ...

    def follow(self, data: bytes) -> bytes:
        """Take the whole frames at the beginning of `data` that are known; returns the rest, which begins with a
        frame."""
        ...

    def end_of_read(self) -> None:
        """What was read together has been taken: what `follow` took, and what lay between."""
        ...
