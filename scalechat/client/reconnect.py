"""When to come back after a connection ended: the decision alone, without a clock or a socket.

Exponential backoff with full jitter (each wait is uniform between nothing and a doubling, capped
bound), because clients that were cut off together must not return together. A server that says
when to come back is obeyed instead: it spreads its clients itself.
"""

import random
from dataclasses import dataclass

from scalechat.wire import closing


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffPolicy:
    """The numbers behind `Backoff`, all in seconds."""

    base_s: float = 0.5
    """Bound of the first wait; a server that restarts is back within a few of these."""
    cap_s: float = 30.0
    """Bound of every later wait: a person looks at the screen about that often."""
    stable_after_s: float = 10.0
    """A connection that lived so long is a success and starts the doubling anew; one that is
    accepted and dropped at once is not."""
    told_cap_s: float = 600.0
    """The longest wait a server can ask for: a wrong number must not silence a client for days."""


class Backoff:
    """The memory of one client's attempts to stay connected.

    Times are seconds of any one monotonic clock. Nothing here waits or raises.
    """

    __slots__ = ("_attempts", "_connected_at_s", "_policy", "_random", "_told_until_s")

    def __init__(self, random: random.Random, policy: BackoffPolicy | None = None) -> None:
        self._policy = policy or BackoffPolicy()
        self._random = random
        self._attempts = 0
        self._connected_at_s: float | None = None
        self._told_until_s: float | None = None

    def __repr__(self) -> str:
        return f"<Backoff after {self._attempts} failures>"

    def told(self, now_s: float, after_ms: int) -> None:
        """Note that the server asked to come back `after_ms` from now (a ``reconnect`` notice)."""
        self._told_until_s = now_s + self._bounded(after_ms)

    def connected(self, now_s: float) -> None:
        """Note that the server welcomed us."""
        self._connected_at_s = now_s
        self._told_until_s = None

    def ended(self, now_s: float, code: int, reason: str | None) -> float | None:
        """Return the seconds to wait after a close, or ``None`` when coming back is no use.

        The close reason wins over an earlier notice: it was said later.
        """
        if not closing.should_reconnect(code):
            return None
        if self._connected_at_s is not None:
            if now_s - self._connected_at_s >= self._policy.stable_after_s:
                self._attempts = 0
            self._connected_at_s = None
        return self._wait_s(now_s, closing.retry_after_ms(reason))

    def failed(self, now_s: float, after_ms: int | None = None) -> float:
        """Return the seconds to wait after an attempt that did not even connect."""
        return self._wait_s(now_s, after_ms)

    def _wait_s(self, now_s: float, after_ms: int | None) -> float:
        told_until_s, self._told_until_s = self._told_until_s, None
        self._attempts += 1
        if after_ms is not None:
            return self._bounded(after_ms)
        if told_until_s is not None:
            return max(0.0, told_until_s - now_s)
        # 2**30 s is far above any cap and still a float without overflow.
        bound_s = min(self._policy.cap_s, self._policy.base_s * 2 ** min(self._attempts - 1, 30))
        return self._random.uniform(0.0, bound_s)

    def _bounded(self, after_ms: int) -> float:
        return min(max(0, after_ms) / 1000, self._policy.told_cap_s)
