"""How fast to send: below what the server announced, so that it never has to refuse."""


class Pace:
    """A token bucket without a clock: `rate_per_s` on average, a second's worth at once; 0 means no limit.

    The server allows a larger burst at the same rate, so frames that the network bunches together pass as well.
    Times are seconds of any one monotonic clock.
    """

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = max(1.0, rate_per_s)
        self._tokens = self._burst
        self._at_s = now_s

    def next_in_s(self, now_s: float) -> float:
        """Take one token and return how long to wait before using it."""
        if self._rate_per_s <= 0:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s) - 1.0
        self._at_s = now_s
        return max(0.0, -self._tokens / self._rate_per_s)
