"""The record of a comparison: every single run with all that the meter said, as JSON that can be read again."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec

from benchmarks.machine import Machine
from benchmarks.meter import Reading

DIRECTORY = Path(__file__).parent / "results"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One server in one scenario in one round."""

    scenario: str
    server: str
    round: int
    value: float | None = None
    """In the scenario's unit; None when it failed."""
    reading: Reading | None = None
    loop_lag: dict[str, float] | None = None
    """Cumulative bucket counts over the window by upper bound in seconds, as Prometheus has them."""
    evictions: float | None = None
    """Clients that Scale-Chat cut as too slow."""
    failed: str | None = None


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    version: str
    skipped: str | None = None
    """What to install."""


class ScenarioRecord(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    unit: str
    better: str
    clients: int
    options: dict[str, float | str]
    skipped: str | None = None
    """Why it cannot be run on this machine."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    began: str
    took_s: float
    command: str
    commit: str
    quick: bool
    rounds: int
    one_core: bool
    machine: Machine
    servers: list[ServerRecord]
    scenarios: list[ScenarioRecord]
    cells: list[Cell]

    def of(self, scenario: str, server: str) -> Summary | None:
        """What all rounds say of one server in one scenario; None when no round succeeded."""
        cells = [c for c in self.cells if c.scenario == scenario and c.server == server]
        good = [c for c in cells if c.value is not None and c.reading is not None]
        return Summary(good) if good else None

    def failure(self, scenario: str, server: str) -> str | None:
        """Why there is nothing to tell, if it was tried."""
        return next((c.failed for c in self.cells if (c.scenario, c.server) == (scenario, server) and c.failed), None)

    def title(self, server: str) -> str:
        return next(s.title for s in self.servers if s.name == server)


class Summary:
    """Several rounds of the same: their median is the figure, their range the noise."""

    def __init__(self, cells: list[Cell]) -> None:
        self.cells = cells
        self.values = [c.value for c in cells if c.value is not None]
        self.readings = [c.reading for c in cells if c.reading is not None]

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def median_of(self, figure: str) -> float:
        """The median of one of the meter's figures."""
        return float(median(getattr(r, figure) for r in self.readings))

    @property
    def lost(self) -> int:
        """Clients that were connected and were cut, in the worst round."""
        return max(r.lost for r in self.readings)

    @property
    def undelivered(self) -> int:
        """In the worst round."""
        return max(r.undelivered for r in self.readings)

    @property
    def unopened(self) -> int:
        """Clients that never came in, in the worst round."""
        return max(r.clients - r.opened for r in self.readings)

    @property
    def meter_limited(self) -> bool:
        """Whether the median round's meter may have been the limit."""
        return sum(r.saturated for r in self.readings) * 2 > len(self.readings)

    @property
    def evictions(self) -> float:
        return max(c.evictions or 0.0 for c in self.cells)

    @property
    def loop_lag_p99_ms(self) -> float | None:
        """Over the probes of all rounds together, interpolated within its bucket as Prometheus does it."""
        merged: dict[float, float] = {}
        for cell in self.cells:
            for bound, count in (cell.loop_lag or {}).items():
                merged[float(bound)] = merged.get(float(bound), 0.0) + count
        return quantile_ms(0.99, merged) if merged else None


def quantile_ms(share: float, cumulative: dict[float, float]) -> float | None:
    """The quantile of a Prometheus histogram (bounds in seconds), in ms; None when it is empty."""
    total = max(cumulative.values(), default=0.0)
    if not total:
        return None
    below_bound = below = 0.0
    for bound, count in sorted(cumulative.items()):
        if count >= share * total:
            if bound == float("inf"):
                return below_bound * 1000
            return (below_bound + (bound - below_bound) * (share * total - below) / (count - below)) * 1000
        below_bound, below = bound, count
    return below_bound * 1000


def write(comparison: Comparison, path: Path) -> None:
    """Write the record, one line a cell, so that two of them can be compared by eye."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(comparison, cells=[])), indent=1)
    cells = b",\n  ".join(msgspec.json.encode(cell) for cell in comparison.cells)
    path.write_bytes(head.removesuffix(b"[]\n}") + b"[\n  " + cells + b"\n ]\n}\n")


def read(path: Path) -> Comparison:
    """Raises OSError, `msgspec.ValidationError`."""
    return msgspec.json.decode(path.read_bytes(), type=Comparison)
