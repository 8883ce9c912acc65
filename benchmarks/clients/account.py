"""What the plain clients share: how messages are made, and what is counted of those that come back."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

SIZE_BYTES = 128


def rss_kb() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def cpu_s() -> float:
    """CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Account:
    """Counts deliveries and their latency from the moment of sending, which is all that such a client knows."""

    def __init__(self) -> None:
        self.url, clients, rate, seconds = sys.argv[1:]
        self.clients, self.rate, self.seconds = int(clients), float(rate), float(seconds)
        self.deliveries = 0
        self.lost = 0
        self.latencies: list[float] = []
        self._rss_before_kb = rss_kb()
        self._began = (0.0, 0.0, 0)
        self._rss_open_kb = 0

    def message(self) -> str:
        """The next message, with the time in it."""
        head = f"{time.monotonic():.6f} "
        return json.dumps({"clientId": "plain", "Message": head + "x" * (SIZE_BYTES - len(head))})

    def take(self, frame: str | bytes) -> None:
        """One delivery."""
        sent, _, _ = json.loads(frame)["Message"].partition(" ")
        self.latencies.append(time.monotonic() - float(sent))
        self.deliveries += 1

    def begin(self) -> None:
        """Everybody is connected; what is measured begins."""
        self._rss_open_kb = rss_kb()
        self._began = (time.monotonic(), cpu_s(), self.deliveries)

    def end(self) -> None:
        """Print what was counted."""
        at, cpu, deliveries = self._began
        print(
            json.dumps(
                {
                    "clients": self.clients,
                    "deliveries": self.deliveries - deliveries,
                    "seconds": time.monotonic() - at,
                    "cpu_s": cpu_s() - cpu,
                    "rss_before_kb": self._rss_before_kb,
                    "rss_open_kb": self._rss_open_kb,
                    "lost": self.lost,
                }
            ),
            flush=True,
        )
