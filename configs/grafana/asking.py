"""Asks a Prometheus what a page asks it, as Grafana would: variables filled in, over its HTTP API."""

from __future__ import annotations

import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

TIMEOUT_S: Final = 10.0
EVERYTHING: Final = dict.fromkeys(("job", "instance", "load_job", "load_instance", "service"), ".+")


class NoAnswer(Exception):
    """Prometheus cannot be reached, or refuses an expression; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One series over time: its labels, and (Unix seconds, value) pairs without NaN."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str] = (0.0, "NaN")
    values: list[tuple[float, str]] = []


class _Data(msgspec.Struct, frozen=True):
    result: list[_Series]


class _Answer(msgspec.Struct, frozen=True):
    data: _Data


@dataclass(frozen=True, slots=True)
class Prometheus:
    """`url` is its address. `chosen` narrows variables ("instance") by a regular expression; `shown_s` is the time
    range, and `rate_s` what rates look back over: four scrapes, as Grafana has it."""

    url: str
    chosen: Mapping[str, str]
    rate_s: float = 20.0
    shown_s: float = 900.0

    def now(self, expr: str) -> list[float]:
        """The value of each series at this moment, NaN left out: it stands for 'no observations'."""
        values = [float(series.value[1]) for series in self._ask("query", query=self.filled_in(expr))]
        return [value for value in values if not math.isnan(value)]

    def curves(self, expr: str, end_unix_s: float, step_s: float) -> list[Curve]:
        """Each series over the time shown, which ends at `end_unix_s`."""
        start, end, step = f"{end_unix_s - self.shown_s:.3f}", f"{end_unix_s:.3f}", f"{step_s:g}"
        found = self._ask("query_range", query=self.filled_in(expr), start=start, end=end, step=step)
        return [
            Curve(series.metric, [(at, float(text)) for at, text in series.values if text != "NaN"]) for series in found
        ]

    def filled_in(self, expr: str) -> str:
        """`expr` with what Grafana would put in for its variables."""
        times = {"__rate_interval": f"{self.rate_s:g}s", "__range": f"{self.shown_s:g}s"}
        for name, value in {**EVERYTHING, **self.chosen, **times}.items():
            expr = expr.replace(f"${name}", value)
        return expr

    def _ask(self, what: str, **parameters: str) -> list[_Series]:
        url = f"{self.url.rstrip('/')}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            raise NoAnswer(f"{parameters['query']}: {error.read().decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise NoAnswer(f"no Prometheus at {self.url}: {error}") from error
        try:
            return msgspec.json.decode(body, type=_Answer).data.result
        except msgspec.DecodeError as error:
            raise NoAnswer(f"what answers at {self.url} is no Prometheus: {error}") from error
