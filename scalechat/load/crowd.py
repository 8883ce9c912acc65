"""Who is of which kind: the ``[[kinds]]`` of a scenario over the numbers of the clients."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from scalechat.config import LoadConfig, UsageError
from scalechat.load.histogram import Ints
from scalechat.scenario import AnyKind, Churning, Publisher, Slow

NORMAL: Final = "normal"
SILENT: Final = "reader-only"
"""What a normal client is called that does not publish, because ``publishers`` are fewer."""
HEADLINE: Final = "delivery"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Kinds hold stretches of client numbers, and so, as client k is in room k mod rooms, are spread over the rooms.

    Clients that publish come first (a recipient's ledger is a list of them): those that are publisher-only, then the
    normal ones; the other kinds follow in the order of the scenario.
    """

    clients: int
    publishers: int
    stretches: tuple[tuple[int, AnyKind | None], ...]
    """(number of the first client, its kind) of each stretch; None is normal."""

    @classmethod
    def of(cls, config: LoadConfig) -> Crowd:
        """The crowd of a configuration. Raises `UsageError` when there are not enough clients for its kinds."""
        claimed = [(kind, kind.of(config.clients)) for kind in config.kinds]
        rest = config.clients - sum(count for _kind, count in claimed)
        if rest < 0:
            raise UsageError(
                f"{config.clients - rest} clients are claimed by [[kinds]] and there are {config.clients}: "
                "raise --clients or claim fewer"
            )
        first = [(kind, count) for kind, count in claimed if isinstance(kind, Publisher)]
        others = [(kind, count) for kind, count in claimed if not isinstance(kind, Publisher)]
        talkers = sum(count for _kind, count in first)
        publishers = talkers + rest if config.publishers is None else config.publishers
        if not talkers <= publishers <= talkers + rest:
            raise UsageError(
                f"{publishers} publishers cannot be: by the scenario's [[kinds]] {talkers} clients must publish and "
                f"{talkers + rest} may"
            )
        in_order: list[tuple[AnyKind | None, int]] = [*first, (None, rest), *others]
        starts = itertools.accumulate((count for _kind, count in in_order), initial=0)
        stretches = tuple((start, kind) for start, (kind, count) in zip(starts, in_order, strict=False) if count)
        return cls(config.clients, publishers, stretches)

    def kind_of(self, client: int) -> AnyKind | None:
        """The client's kind; None for a normal one."""
        return self.stretches[bisect.bisect_right(self.stretches, client, key=lambda stretch: stretch[0]) - 1][1]

    def name_of(self, client: int) -> str:
        """What its kind is called in ``connections.csv``."""
        kind = self.kind_of(client)
        if kind is not None:
            return kind.name
        return NORMAL if client < self.publishers else SILENT

    def is_apart(self, client: int) -> bool:
        """Whether its deliveries stay out of the headline."""
        kind = self.kind_of(client)
        return kind is not None and kind.apart

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that deliveries are counted in: the headline, then one of each kind that stands apart."""
        kinds = (kind for _start, kind in self.stretches)
        apart = (f"{HEADLINE}_{kind.name.replace('-', '_')}" for kind in kinds if kind is not None and kind.apart)
        return tuple(dict.fromkeys((HEADLINE, *apart)))

    def metric_indices(self) -> Ints | None:
        """Of each client the index of its metric in `metrics`; None when all are in the headline."""
        metrics = self.metrics
        if len(metrics) == 1:
            return None
        indices = np.zeros(self.clients, dtype=np.int64)
        for start, kind in self.stretches:
            apart = kind is not None and kind.apart
            indices[start:] = metrics.index(f"{HEADLINE}_{kind.name.replace('-', '_')}") if kind and apart else 0
        return indices

    @property
    def may_leave(self) -> bool:
        """Whether clients drop connections of their own will, all the time."""
        return any(isinstance(kind, Churning) for _start, kind in self.stretches)

    @property
    def has_slow(self) -> bool:
        """Whether there are slow readers."""
        return any(isinstance(kind, Slow) for _start, kind in self.stretches)
