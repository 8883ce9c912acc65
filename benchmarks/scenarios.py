"""What is asked of each server, and which figure answers.

Closed loop where throughput is asked: publishers keep a fixed number of their messages in flight, so a server is as
busy as it can be and never drowned. Open loop where latency is asked: messages are due at fixed moments and latency
counts from there. Messages of 128 bytes throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.meter import Options, Reading

THOUSAND = 1_000
DESCRIPTORS_BESIDES = 120
"""Open files of a server that are not its clients: its own, and a reserve that some keep."""

Better = Literal["more", "less"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    title: str
    unit: str
    better: Better
    value: Callable[[Reading], float]
    """The figure that answers, in `unit`."""
    clients: int
    options: Options
    """For the meter, besides the number of clients."""
    ours_only: bool = False
    max_rounds: int | None = None
    at_least: float = 1.0
    """The share of `clients` with which it still means the same, where the file limit does not allow them all."""
    loop_lag: bool = False
    """Read the server's own loop lag over the window, where it tells it."""
    extra_member: Literal["reads", "stopped"] | None = None
    """A process of its own in the same room, which reads, or is stopped by SIGSTOP before the window."""

    @property
    def open_loop(self) -> bool:
        return "rate" in self.options

    def expected_s(self) -> float:
        """How long one run should take, beside opening the clients; the meter is given three times that."""
        return sum(float(self.options.get(phase, 0)) for phase in ("settle", "warmup", "seconds", "drain"))

    def fitted(self, file_limit: int) -> Scenario | str:
        """This scenario with the clients that `file_limit` allows, or why it makes no sense with so few."""
        most = file_limit - DESCRIPTORS_BESIDES
        if self.clients <= most:
            return self
        if most < self.clients * self.at_least:
            return (
                f"{self.clients:,} connections need as many open files in one process; the hard limit is {file_limit:,}"
            )
        return replace(self, clients=most, title=f"{self.title} (here {most:,})")

    def quick(self) -> Scenario:
        """A short one that shows only that everything works."""
        options = dict(self.options) | {"warmup": 0.1, "settle": 0.2, "drain": 1.0}
        if options["seconds"]:
            options["seconds"] = 1.2 if float(options.get("rate", 2)) < 2 else 0.5
        for number in ("publishers", "rooms"):
            if int(options.get(number, 0)) > 4:
                options[number] = int(options[number]) // 5
        fewer = self.clients // 5
        return replace(self, clients=fewer, options=options, title=f"{self.title} (quick: {fewer:,} clients)")


def cpu_us_per_delivery(reading: Reading) -> float:
    """The server's CPU time within the window, over what came out of it."""
    return reading.server_cpu_s * 1e6 / max(1, reading.deliveries)


def cpu_us_per_connection(reading: Reading) -> float:
    """The server's CPU time from the first SYN until every client has been a member for a moment."""
    return reading.open_server_cpu_s * 1e6 / max(1, reading.opened)


def kb_per_connection(reading: Reading) -> float:
    """Growth of resident memory; what the kernel holds for sockets is not in it. 1 kB = 1,024 bytes."""
    return (reading.rss_after_kb - reading.rss_before_kb) / max(1, reading.opened)


def _deliveries_k(reading: Reading) -> float:
    return reading.deliveries_per_s / THOUSAND


def _publishes_k(reading: Reading) -> float:
    return reading.published_per_s / THOUSAND


def _p99_ms(reading: Reading) -> float:
    return reading.p99_ms


def _phases(*, settle: float, warmup: float, seconds: float, drain: float = 3.0) -> dict[str, float | str]:
    return {"settle": settle, "warmup": warmup, "seconds": seconds, "drain": drain}


_BUSY = _phases(settle=0.3, warmup=0.7, seconds=2.0)
_IDLE = _phases(settle=1.0, warmup=0, seconds=0) | {"publishers": 0}
# Half load: at 500 messages/s Scale-Chat needs about half a core; the table says how much it was. The kernel keeps
# 3.9 MB for a loopback reader that has stopped; filled beforehand up to a rest, so that the server has to queue, and
# then to cut, within the window.
_STALLED = _phases(settle=0.3, warmup=1.0, seconds=8.0) | {"publishers": 4, "rate": 500, "prefill": 3_600_000}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="fan-out",
        title="1 room × 1,000, 4 publishers × 4 in flight",
        unit="k deliveries/s",
        better="more",
        value=_deliveries_k,
        clients=1_000,
        options=_BUSY | {"publishers": 4, "window": 4},
    ),
    Scenario(
        name="many-publishers",
        title="1 room × 1,000, 200 publishers × 1 in flight",
        unit="k deliveries/s",
        better="more",
        value=_deliveries_k,
        clients=1_000,
        options=_BUSY | {"publishers": 200, "window": 1},
    ),
    Scenario(
        name="latency",
        title="1 room × 1,000 at a fixed 250 messages/s",
        unit="ms p99",
        better="less",
        value=_p99_ms,
        clients=1_000,
        options=_phases(settle=0.3, warmup=0.7, seconds=3.0) | {"publishers": 4, "rate": 250},
    ),
    Scenario(
        name="rooms",
        title="250 rooms × 4, everyone publishing, 4 in flight",
        unit="k publishes/s",
        better="more",
        value=_publishes_k,
        clients=1_000,
        options=_BUSY | {"rooms": 250, "publishers": 1_000, "window": 4},
    ),
    Scenario(
        name="wide",
        title="1 room × 10,000 at a fixed 20 messages/s",
        unit="ms p99",
        better="less",
        value=_p99_ms,
        clients=10_000,
        options=_phases(settle=1.0, warmup=0.5, seconds=4.0) | {"publishers": 4, "rate": 20},
        loop_lag=True,
    ),
    Scenario(
        name="connect",
        title="5,000 connections opened and upgraded, 64 at a time",
        unit="µs CPU per connection",
        better="less",
        value=cpu_us_per_connection,
        clients=5_000,
        options=_IDLE,
    ),
    Scenario(
        name="idle",
        title="20,000 idle connections",
        unit="kB RSS per connection",
        better="less",
        value=kb_per_connection,
        clients=20_000,
        at_least=0.95,
        options=_IDLE,
        max_rounds=1,
    ),
    *(
        Scenario(
            name=f"growth-{clients}",
            title=f"1 room × {clients:,} at 1 message/s",
            unit="ms p99",
            better="less",
            value=_p99_ms,
            clients=clients,
            at_least=0.95,
            options=_phases(settle=1.0, warmup=0.5, seconds=6.0, drain=5.0) | {"publishers": 1, "rate": 1},
            ours_only=True,
            max_rounds=1,
        )
        for clients in (1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
    ),
    Scenario(
        name="stalled-none",
        title="500 messages/s, 1,000 members who all read",
        unit="ms p99",
        better="less",
        value=_p99_ms,
        clients=999,
        options=_STALLED,
        ours_only=True,
        extra_member="reads",
    ),
    Scenario(
        name="stalled-one",
        title="500 messages/s, one of 1,000 members stopped",
        unit="ms p99",
        better="less",
        value=_p99_ms,
        clients=999,
        options=_STALLED,
        ours_only=True,
        extra_member="stopped",
    ),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def chosen(names: list[str]) -> list[Scenario]:
    """Scenarios with these names or in these families ("growth", "stalled"); all for no names. Raises LookupError."""
    found: list[Scenario] = []
    for name in names or list(BY_NAME):
        family = [s for s in SCENARIOS if s.name == name or s.name.startswith(f"{name}-")]
        if not family:
            raise LookupError(f"no scenario {name!r}; there are {', '.join(BY_NAME)}")
        found += [s for s in family if s not in found]
    return found
