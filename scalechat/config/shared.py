"""What several commands' settings have in common: choices, bounds and the panels of ``--help``."""

from typing import Literal

from cyclopts import Group, Parameter

from scalechat.values import about

Fanout = Literal["coalesced", "encode-once", "per-client"]
SlowConsumer = Literal["disconnect", "drop_oldest", "drop_newest", "latest", "pause"]
HeartbeatPhase = Literal["spread", "together"]
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
Arrivals = Literal["fixed", "jittered", "poisson"]
Loop = Literal["open", "closed"]
Target = Literal["scalechat", "plain", "template"]
Vary = Literal["clients", "rate", "rooms"]

CA_FILE = about("PEM file with the authorities or certificates to trust, instead of the system's, for wss://.")

DEFAULT_URL = "ws://localhost:8080/ws"

# Bounds end at figures nobody means, so that a typing error is caught before anything starts.
HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
DAY_MS = 1_000 * DAY_S
MANY = 1_000_000
MIB = 1_048_576

DURATION_S = 30.0


def panel(title: str, position: int) -> Parameter:
    """A group of settings with its place on the page."""
    return Parameter(group=Group(title, sort_key=position))


NETWORK = panel("Where to listen", 1)
ENGINE = panel("Engine", 2)
LIMITS = panel("Limits", 3)
ACCESS = panel("Who may come in", 4)
LOGS = panel("Logs", 5)
TUNING = panel("Tuning, for those who measure", 6)

TARGET = panel("Target", 1)
LOAD = panel("Load", 2)
PHASES = panel("Phases", 3)
RESULT = panel("Result", 4)
SEARCH = panel("Search", 0)
