"""What `capacity` can be told: a search is a series of load runs."""

from dataclasses import dataclass
from typing import Annotated

from scalechat.config.errors import UsageError
from scalechat.config.load import DurationS, LoadConfig, RampPerS, Slo, WarmupS
from scalechat.config.shared import (
    HOUR_S,
    LOAD,
    MANY,
    SEARCH,
    Vary,
)
from scalechat.values import (
    WholeNumber,
    about,
    above_zero,
    between,
    named,
    unset,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityConfig(LoadConfig):
    """What `capacity` can be told: how to search, and with every setting of `load` what a probe is.

    A probe is much shorter than a run that stands for itself, and has objectives; otherwise it is the same run.
    """

    vary: Annotated[
        Vary,
        SEARCH,
        about(
            "What is raised: 'clients' in the same rooms, the 'rate' of messages/s of all publishers together, or "
            "'rooms' of the same size. The search starts from what --clients, --msg-frequency and --rooms say."
        ),
    ] = "clients"
    max_value: Annotated[
        float | None,
        SEARCH,
        named("max"),
        above_zero(MANY, "of what is varied"),
        unset("1,000,000"),
        about("Load that is not exceeded; when it holds, the answer is 'at least'."),
    ] = None
    resolution: Annotated[
        float,
        SEARCH,
        between(0.001, 0.5),
        about("How wide the answer's bracket may be, as a part of its upper end."),
    ] = 0.05
    confirm: Annotated[
        WholeNumber, SEARCH, between(1, 100), about("How often the answer must hold before it is given …")
    ] = 2
    confirm_of: Annotated[WholeNumber, SEARCH, between(1, 100), about("… out of so many probes of that load.")] = 3
    calm_timeout_s: Annotated[
        float,
        SEARCH,
        named("calm-timeout"),
        between(0, HOUR_S, "seconds"),
        about("Seconds to wait between two probes until server and machine are as quick as before the first."),
    ] = 30.0

    clients: Annotated[WholeNumber, LOAD, between(1, MANY), about("Simulated clients of the first probe.")] = 100
    ramp_per_s: RampPerS = 1_000.0
    warmup_s: WarmupS = 2.0
    duration_s: DurationS = 6.0
    slo: Annotated[Slo, unset("p99(delivery) < 200ms, missing == 0")] = ("p99(delivery) < 200ms", "missing == 0")

    def __post_init__(self) -> None:
        """Refuse combinations that no search can be made for."""
        if self.phases:  # first: what else could be said of them is of no use here
            raise UsageError("each probe of a capacity search has one phase: leave the scenario's [[phases]] out")
        LoadConfig.__post_init__(self)  # super() finds no cell in a class that `slots` has made anew
        if self.rendezvous is not None:
            raise UsageError("a capacity search runs on one machine: leave --rendezvous out, raise --processes")
        if self.loop == "closed":
            raise UsageError("a closed loop offers less when the server is slow, so none is too much: search with open")
        if self.confirm > self.confirm_of:
            raise UsageError(
                f"--confirm {self.confirm} is more than --confirm-of {self.confirm_of}: nothing could hold so often"
            )
