"""What all simulated clients of a process share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scalechat.client.transport import SharedReader
from scalechat.load.connector import Connector
from scalechat.load.decoding import Batch
from scalechat.load.dialects import Dialect, Names
from scalechat.load.errors import ErrorLog
from scalechat.load.pacing import NowNs
from scalechat.load.poller import Poller
from scalechat.load.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Given to each client when it is made."""

    connector: Connector
    dialect: Dialect
    names: Names
    recorder: Recorder
    decode: Callable[[Sequence[bytes]], Batch]
    reader: SharedReader[Batch]
    """Decodes with `decode`, and remembers for everybody."""
    errors: ErrorLog
    poller: Poller
    clock: NowNs
    connect_timeout_s: float
    unix_offset_ns: int
    """Unix time minus the clock, as it was at the start of the run."""
    on_settled: Callable[[], None]
    """Called once by each client: it has joined, or it never will."""
    on_left: Callable[[], None]
    """Called when a member was lost: its connection ended, and not by our wish."""

    def error(self, kind: str, text: str) -> None:
        """Something went wrong, now."""
        self.errors.note(kind, text, at_ns=self.clock(), phase=self.recorder.phase)
