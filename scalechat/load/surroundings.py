"""What all simulated clients of a process share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from scalechat.client.shared_reader import SharedReader
from scalechat.load.connector import Connector
from scalechat.load.course import PhaseNumber
from scalechat.load.decoding import Batch, Decoder
from scalechat.load.dialects import Dialect, Names
from scalechat.load.errors import ErrorLog
from scalechat.load.pacing import NowNs
from scalechat.load.poller import Poller
from scalechat.load.recorder import Recorder
from scalechat.load.room_stream import RoomStream
from scalechat.load.seeded import Chance

if TYPE_CHECKING:
    from scalechat.load.virtual_client import VirtualClient


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Given to each client when it is made."""

    connector: Connector
    dialect: Dialect
    names: Names
    recorder: Recorder
    decoder: Decoder
    reader: SharedReader[Batch]
    """Decodes with `decoder`, and remembers for everybody."""
    streams: Sequence[RoomStream]
    """One for each room."""
    errors: ErrorLog
    poller: Poller
    clock: NowNs
    chance: Chance
    random: Random
    """For what cannot be planned: waits after connections were lost."""
    connect_timeout_s: float
    reconnects: bool
    """Whether clients that lost their connections come back."""
    unix_offset_ns: int
    """Unix time minus the clock, as it was at the start of the run."""
    on_settled: Callable[[], None]
    """Called once by each client: it has joined, or it never will."""
    on_left: Callable[[], None]
    """Called when a connection has ended before its time."""
    on_replaced: Callable[[VirtualClient], None]
    """Called when a client dials anew: its last connection is history."""

    def is_draining(self) -> bool:
        """Whether the run is waiting for what is under way: then nobody is slow any more."""
        return self.recorder.phase == PhaseNumber.DRAIN

    def error(self, kind: str, text: str) -> None:
        """Something went wrong, now."""
        self.errors.note(kind, text, at_ns=self.clock(), phase=self.recorder.phase)
