"""What was measured, as it is written to ``benchmarks/results/load-clients.json``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.machine import Machine


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one client."""

    clients: int
    deliveries: int
    seconds: float
    cpu_s: float
    """User and system time of the client's process, in these seconds."""
    rss_before_kb: int
    rss_open_kb: int
    lost: int
    """Clients that were not connected to the end."""
    server_cpu_s: float = 0.0
    """The same of the server's process; 0 where nobody looked."""
    compared_cpu_us: float | None = None
    """The server's CPU per delivery in the same scenario of the servers' comparison, in the same round."""
    compared_per_s: float | None = None
    """Deliveries a second there."""
    loop_lag_p99_ms: float | None = None
    wrong: int = 0
    """Deliveries that the client says were missing, duplicated, reordered or not as they were sent."""

    @property
    def per_s(self) -> float:
        return self.deliveries / self.seconds

    @property
    def busy(self) -> float:
        """Share of a core."""
        return self.cpu_s / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU per delivery."""
        return self.cpu_s * 1e6 / max(1, self.deliveries)

    @property
    def server_cpu_us(self) -> float:
        """The server's, per delivery."""
        return self.server_cpu_s * 1e6 / max(1, self.deliveries)

    @property
    def rss_kb(self) -> float:
        """Memory of a client."""
        return (self.rss_open_kb - self.rss_before_kb) / self.clients


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One tool: its runs under load, by messages offered a second, and the one of many idle clients."""

    name: str
    title: str
    version: str
    knows: str
    """What it can say of what it received."""
    commit: str = ""
    loaded: dict[float, Figures] = {}
    idle: Figures | None = None
    skipped: str | None = None

    @property
    def best(self) -> Figures | None:
        """The run with the most deliveries in a second among those that lost nobody."""
        return max((run for run in self.loaded.values() if not run.lost), key=lambda run: run.per_s, default=None)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of our own load client, run after run."""

    name: str
    title: str
    commit: str
    runs: list[Figures]


class Sitting(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured. What was measured anew in a later part of the sitting has replaced what was there."""

    began: str
    command: str
    commit: str
    machine: Machine
    records: list[Record]
    rows: list[Row] = []

    def with_rest_of(self, path: Path) -> Sitting:
        """This, and what the sitting written to `path` has besides, if it was of the same commit."""
        try:
            before = msgspec.json.decode(path.read_bytes(), type=Sitting)
        except (OSError, msgspec.DecodeError):
            return self
        here = {record.name for record in self.records} | {row.name for row in self.rows}
        return msgspec.structs.replace(
            self,
            records=self.records + [r for r in before.records if r.name not in here and r.commit == self.commit],
            rows=self.rows + [r for r in before.rows if r.name not in here and r.commit == self.commit],
        )
