"""The tables of a scenario file: kinds of clients, events, steps. Each struct is one entry, its fields are the keys.

They are fields of `config.LoadConfig`, as the plain settings at the top of the same file are.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import msgspec


def _at_least(low: float, about: str) -> msgspec.Meta:
    return msgspec.Meta(ge=low, description=about)


def _above(low: float, about: str) -> msgspec.Meta:
    return msgspec.Meta(gt=low, description=about)


_Share = Annotated[float, msgspec.Meta(gt=0, le=1, description="part of all clients; give this or count")]
_Count = Annotated[int, _at_least(1, "how many clients; give this or share")]
_At = Annotated[float, _at_least(0, "seconds after the measured phase began")]


class _Base(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all entries: a word nobody knows is an error."""


class _Entry(_Base, frozen=True, kw_only=True, tag_field="kind"):
    """One that is of some kind."""


class _Some(_Entry, frozen=True, kw_only=True):
    """Some of the clients."""

    share: _Share | None = None
    count: _Count | None = None

    def __post_init__(self) -> None:
        if (self.share is None) == (self.count is None):
            raise ValueError("needs either share or count")

    def of(self, clients: int) -> int:
        """How many of so many clients are meant."""
        return self.count if self.count is not None else round((self.share or 0) * clients)


# --- [[kinds]] -------------------------------------------------------------------------------------------------------


class ClientKind(_Some, frozen=True, kw_only=True):
    """Base of the kinds. `apart`: its deliveries stand in a metric of their own, ``delivery_…``, not in the headline.

    Every kind is in the ledger. Clients that no entry claims are normal: they publish (the first ``publishers`` of
    them) and read.
    """

    apart: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The word for it."""
        return str(self.__struct_config__.tag)


class Publisher(ClientKind, frozen=True, kw_only=True, tag="publisher-only"):
    """Publishes. What the server sends it is read and accounted for, and is nobody's latency."""


class Reader(ClientKind, frozen=True, kw_only=True, tag="reader-only"):
    """Reads and never publishes."""

    apart = False


class Slow(ClientKind, frozen=True, kw_only=True, tag="slow"):
    """Reads slower than it is sent to: it leaves the socket alone, so that TCP holds the server back."""

    read_bytes_per_s: Annotated[float, _above(0, "bytes it reads per second, until the drain")]
    receive_buffer_bytes: Annotated[int, _at_least(1024, "its socket's receive buffer (SO_RCVBUF)")] = 8_192


class Churning(ClientKind, frozen=True, kw_only=True, tag="churning"):
    """Reads, drops its connection every so often without a word, and comes back."""

    every_s: Annotated[float, _above(0, "seconds a connection lasts, in the middle")]
    away_s: Annotated[float, _at_least(0, "seconds until it dials again, in the middle")] = 1.0
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1, description="how far either time moves, as a part of it")] = 0.5
    resume: Annotated[bool, msgspec.Meta(description="ask for what was missed (only target scalechat can)")] = True


class Probe(ClientKind, frozen=True, kw_only=True, tag="probe"):
    """Reads like anybody and is reported apart: a few of them show what the others' load does to a bystander."""


AnyKind = Publisher | Reader | Slow | Churning | Probe


# --- [[events]] ------------------------------------------------------------------------------------------------------


class ReconnectStorm(_Some, frozen=True, kw_only=True, tag="reconnect_storm"):
    """So many clients lose their connections in the same moment and dial again."""

    at_s: _At
    within_s: Annotated[float, _at_least(0, "each dials again after a random wait of up to this; 0: all at once")] = 1.0

    def scaled(self, part: float) -> Self:
        """The same at this part of its time; how fast clients dial again is what it is about, and stays."""
        return msgspec.structs.replace(self, at_s=part * self.at_s)


class _Stretch(_Entry, frozen=True, kw_only=True):
    """One that lasts for a while."""

    at_s: _At
    for_s: Annotated[float, _above(0, "seconds it lasts")]

    def scaled(self, part: float) -> Self:
        """The same at this part of its time, for this part of its length."""
        return msgspec.structs.replace(self, at_s=part * self.at_s, for_s=part * self.for_s)


class Pause(_Stretch, frozen=True, kw_only=True, tag="pause"):
    """Nobody publishes for a while."""


class Burst(_Stretch, frozen=True, kw_only=True, tag="burst"):
    """Everybody publishes more, or less, often for a while."""

    factor: Annotated[float, _above(0, "times the usual rate")]


Event = ReconnectStorm | Pause | Burst


# --- [[phases]] ------------------------------------------------------------------------------------------------------


class Step(_Base, frozen=True, kw_only=True):
    """One step of the time after the warm-up: a phase of the run.

    Without any there is one, called steady, of ``duration`` seconds.
    """

    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_-]{0,31}$", description="what it is called in the run")]
    duration_s: Annotated[float, _above(0, "seconds it lasts")]
    rate: Annotated[float, _at_least(0, "times the usual rate of publishing")] = 1.0
    clients: Annotated[int, _at_least(1, "how many of the clients are there: the first so many")] | None = None
    measured: Annotated[
        bool, msgspec.Meta(description="false: kept and in the ledger, but in no figure and no latency objective")
    ] = True

    def scaled(self, part: float) -> Self:
        """The same for this part of its length."""
        return msgspec.structs.replace(self, duration_s=part * self.duration_s)

    @property
    def told(self) -> str:
        """A line for a person."""
        clients = "" if self.clients is None else f"{self.clients} clients, "
        unmeasured = "" if self.measured else ", not measured"
        rate = "the usual rate" if self.rate == 1 else f"{self.rate:g} times the usual rate"
        return f"{self.name}: {clients}{rate} for {self.duration_s:g} s{unmeasured}"
