"""Which load to try next, and what the answer is: a pure decision, fed one observation at a time.

Theory of operation. The search doubles the load until it fails (or halves it until it holds), then bisects between
the highest load that held and the lowest that did not, until they are closer than the resolution. One probe is one
sample of a noisy thing, so each level is decided by *k of n*: it has failed once it can no longer hold k times out of
n. The votes are collected lazily: what most of a level's votes say is believed, and be it a single one, until the level
turns out to be an end of the answer's bracket. Then both ends are confirmed, by turns: what disturbs a machine lasts
for seconds, and two votes of the same seconds are one. An end that does not confirm becomes the other one, and the
search goes on from there.

With 2 of 3, a level that holds 95 % of the time is wrongly ruled out with a probability of 0.7 %, and one that holds
5 % of the time is confirmed as rarely. Whoever wants less luck asks for more votes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

Outcome = Literal["held", "failed", "unsteady", "generator", "sparse", "unclear", "disturbed"]
"""What one probe says about its level: the objectives held or failed, the probe's own windows disagree, the generator
was the limit, there were too few messages to judge (which more load mends), something else spoils the figures, or it
says more about the surroundings than about the level, and is no vote."""
AGAINST: Final[frozenset[Outcome]] = frozenset({"failed", "unsteady", "generator"})
"""Votes that a level does not hold, or cannot be made to."""
Step = Literal["first", "double", "halve", "bisect", "repeat", "confirm"]
Kind = Literal["found", "ceiling", "generator", "unclear", "none", "unfinished"]

PATIENCE: Final = 2
"""A level that gave no clear answer so often is not tried again: once may be the surroundings, twice is the level."""
_DIGITS: Final = 4
"""Significant digits of a rate that is tried; finer than any resolution that makes sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is searched for. `whole` quantities (clients, rooms) are tried in integers."""

    first: float
    lowest: float
    highest: float
    resolution: float
    """The bracket may be so wide, as a part of its upper end."""
    confirm: int = 2
    out_of: int = 3
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Probe:
    """A load to try, why, and between what the answer is known to lie by now."""

    value: float
    step: Step
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe showed; `reason` is for a person."""

    value: float
    outcome: Outcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: the highest load that held and the lowest that did not.

    *found*: both are known. *ceiling*: the highest load allowed held. *generator*: what stands above `held` is not the
    server's failure but the load client's, so the answer is "at least". *unclear*: figures that cannot be judged stand
    where the answer should be. *none*: not even the lowest load held. *unfinished*: somebody stopped the search.
    """

    kind: Kind
    held: float | None
    failed: float | None
    """The lowest load that did not hold, or could not be measured."""
    confirmed: bool
    """`held` has its votes, and so has `failed`, where it is a failure."""


class Standing(Enum):
    """What is known of a level."""

    HELD = "held more often than not so far"
    CONFIRMED = "held as often as asked"
    FAILING = "failed at least as often as it held so far"
    FAILED = "failed so often that it cannot hold as often as asked"
    STRAINING = "too much for the generator so far"
    GENERATOR = "too much for the generator"
    SPARSE = "too little to judge"
    UNCLEAR = "not measurable"
    OPEN = "needs another probe"


@dataclass(slots=True)
class _Level:
    votes: dict[Outcome, int] = field(default_factory=dict)
    tried_last: int = 0
    """In which probe."""

    def standing(self, aim: Aim) -> Standing:
        held, failed = self.votes.get("held", 0), self.votes.get("failed", 0)
        if failed > aim.out_of - aim.confirm:
            return Standing.FAILED
        if held >= aim.confirm:
            return Standing.CONFIRMED
        # Objectives that hold in one window and not in the next do not hold.
        if self.votes.get("unsteady", 0) >= PATIENCE:
            return Standing.FAILED
        if self.votes.get("generator", 0) >= PATIENCE:
            return Standing.GENERATOR
        if self.votes.get("unclear", 0) >= PATIENCE:
            return Standing.UNCLEAR
        if self.votes.get("sparse"):
            return Standing.SPARSE
        if held > failed:
            return Standing.HELD
        if failed:
            return Standing.FAILING
        return Standing.STRAINING if self.votes.get("generator") else Standing.OPEN


_UPPER: Final = (Standing.FAILING, Standing.FAILED, Standing.STRAINING, Standing.GENERATOR, Standing.UNCLEAR)
_LIMITED: Final = (Standing.STRAINING, Standing.GENERATOR)
_BELIEVED: Final = (Standing.HELD, Standing.FAILING, Standing.STRAINING)
_LOWER: Final = (Standing.HELD, Standing.CONFIRMED, Standing.SPARSE)


class Search:
    """One search. Ask `next_probe` with None at first, then with what the last probe showed, until it answers."""

    def __init__(self, aim: Aim) -> None:
        self._aim = aim
        self._levels: dict[float, _Level] = {}
        self._probes = 0

    def next_probe(self, observation: Observation | None) -> Probe | Verdict:
        """Take in what was seen, and say what to try, or the answer."""
        if observation is not None and observation.outcome == "disturbed":
            return Probe(observation.value, "repeat", *self._bracket())
        if observation is not None:
            self._probes += 1
            level = self._levels.setdefault(observation.value, _Level())
            level.votes[observation.outcome] = level.votes.get(observation.outcome, 0) + 1
            level.tried_last = self._probes
            if self._standing(observation.value) is Standing.OPEN:
                low, high = self._bracket()
                return Probe(observation.value, "repeat", low, high)
        low, high = self._bracket()
        if high is None:
            return self._upwards(low)
        if self._standing(high) is Standing.UNCLEAR:
            return self._answer("unclear", low, high)  # neither more nor less load would mend that
        kind: Kind = "generator" if self._standing(high) in _LIMITED else "found"
        if low is None:
            if high <= self._aim.lowest:
                return self._confirm(None, high, "none" if kind == "found" else kind)
            return Probe(max(self._aim.lowest, self._rounded(high / 2)), "halve", None, high)
        middle = self._between(low, high)
        return self._confirm(low, high, kind) if middle is None else Probe(middle, "bisect", low, high)

    def unfinished(self) -> Verdict:
        """What is known now, for a search that is stopped."""
        return self._answer("unfinished", *self._bracket())

    def _upwards(self, low: float | None) -> Probe | Verdict:
        if low is None:
            return Probe(self._aim.first, "first")
        if low >= self._aim.highest:
            return self._confirm(low, None, "ceiling")
        return Probe(min(self._rounded(2 * low), self._aim.highest), "double", low)

    def _confirm(self, low: float | None, high: float | None, kind: Kind) -> Probe | Verdict:
        """The answer, or the vote that it lacks most: the one of the end that was not tried for longer."""
        if low is not None and self._standing(low) is Standing.SPARSE:
            return self._answer("unclear", low, high)
        doubtful = [end for end in (low, high) if end is not None and self._standing(end) in _BELIEVED]
        if not doubtful:
            return self._answer(kind, low, high)
        return Probe(min(doubtful, key=lambda end: self._levels[end].tried_last), "confirm", low, high)

    def _answer(self, kind: Kind, low: float | None, high: float | None) -> Verdict:
        standing = None if low is None else self._standing(low)
        held = None if standing is Standing.SPARSE else low
        certain = high is None or self._standing(high) not in _BELIEVED
        return Verdict(kind, held, high, confirmed=certain and standing is Standing.CONFIRMED)

    def _bracket(self) -> tuple[float | None, float | None]:
        """The highest load that held (or was too little to judge), below the lowest that did not."""
        high = min((value for value in self._levels if self._standing(value) in _UPPER), default=None)
        low = max(
            (value for value in self._levels if self._standing(value) in _LOWER and (high is None or value < high)),
            default=None,
        )
        return low, high

    def _between(self, low: float, high: float) -> float | None:
        """The middle of a bracket that is too wide; None when it is narrow enough."""
        middle = self._rounded((low + high) / 2)
        return middle if high - low > self._aim.resolution * high and low < middle < high else None

    def _rounded(self, value: float) -> float:
        return float(int(value)) if self._aim.whole else float(f"{value:.{_DIGITS}g}")

    def _standing(self, value: float) -> Standing:
        return self._levels[value].standing(self._aim)
