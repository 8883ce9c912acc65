"""What a search varies → the ordinary run that applies so much of it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import ceil
from pathlib import Path

from scalechat.config import CapacityConfig, LoadConfig, UsageError
from scalechat.load.capacity.decision import Aim

_MOST = 1_000_000
"""Nobody means more of anything; `--max` is the limit that people set."""
_SLOWEST_PER_S = 0.1


@dataclass(frozen=True, slots=True)
class Quantity:
    """One of the three: its name, its unit for a person, and the base of the search."""

    config: CapacityConfig
    base: LoadConfig

    @classmethod
    def of(cls, config: CapacityConfig) -> Quantity:
        """The quantity that the configuration varies."""
        return cls(config, LoadConfig(**{f.name: getattr(config, f.name) for f in fields(LoadConfig)}))

    @property
    def unit(self) -> str:
        """What is counted."""
        return "messages/s" if self.config.vary == "rate" else self.config.vary

    def aim(self) -> Aim:
        """The search starts from what the flags say. Raises `UsageError` where that is above ``--max``."""
        base, config = self.base, self.config
        if config.vary == "rate" and not self._publishers:
            raise UsageError("--vary rate needs somebody who publishes: raise --publishers")
        first, lowest = {
            "clients": (float(base.clients), float(max(base.rooms, base.processes))),
            # So many that no process is without a client.
            "rooms": (float(base.rooms), float(ceil(base.processes * base.rooms / base.clients))),
            "rate": (float(f"{self._publishers * 1e3 / base.msg_frequency_ms:.4g}"), _SLOWEST_PER_S),
        }[config.vary]
        highest = float(_MOST if config.max_value is None else config.max_value)
        if config.vary != "rate" and not highest.is_integer():
            raise UsageError(f"--max {highest:g}: {config.vary} come whole")
        if first > highest:
            raise UsageError(f"the search would start at {first:g} {self.unit}, above --max {highest:g}")
        return Aim(
            first=first,
            lowest=min(lowest, first),
            highest=highest,
            resolution=config.resolution,
            confirm=config.confirm,
            out_of=config.confirm_of,
            whole=config.vary != "rate",
        )

    def at(self, value: float, out: Path) -> LoadConfig:
        """The run that applies this load; it is written below `out`.

        More *clients* share the rooms there are. A higher *rate* is the sum over all publishers, which stay as many.
        More *rooms* are rooms as large as the base's, with as many publishers each.
        """
        base = self.base
        match self.config.vary:
            case "clients":
                clients = int(value)
                publishers = None if base.publishers is None else min(base.publishers, clients)
                return replace(base, clients=clients, publishers=publishers, out=out)
            case "rooms":
                times = value / base.rooms
                publishers = None if base.publishers is None else round(base.publishers * times)
                return replace(
                    base, rooms=int(value), clients=round(base.clients * times), publishers=publishers, out=out
                )
            case "rate":
                return replace(base, msg_frequency_ms=self._publishers * 1e3 / value, out=out)

    @property
    def _publishers(self) -> int:
        return self.base.clients if self.base.publishers is None else self.base.publishers
