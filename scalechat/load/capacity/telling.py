"""What a person reads of a search: why this load is tried, what it showed, and the answer."""

from __future__ import annotations

from typing import Final

from scalechat.load.capacity.decision import Observation, Outcome, Probe, Step, Verdict

_STEPS: Final[dict[Step, str]] = {
    "first": "first probe",
    "double": "double",
    "halve": "halve",
    "bisect": "bisect",
    "repeat": "again, there is no answer yet",
    "confirm": "confirm",
}
_OUTCOMES: Final = {
    "held": "held",
    "failed": "failed",
    "unsteady": "gave no steady answer",
    "generator": "overloaded the load client",
    "sparse": "gave too little to judge",
    "unclear": "could not be judged",
    "disturbed": "disturbed, does not count",
}

_SIGNS: Final[dict[Outcome, str]] = {"held": "✓", "failed": "✗", "unsteady": "✗"}
"""The rest is no answer: !"""


def number(value: float) -> str:
    """For a person: ``12,800``, ``231``, ``0.5``."""
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:,.3g}"


def trying(number_of_probe: int, probe: Probe, unit: str) -> str:
    """``probe 9: trying 9,600 clients (bisect, bracket 6,400 to 12,800)``."""
    bracket = (
        "" if probe.low is None or probe.high is None else f", bracket {number(probe.low)} to {number(probe.high)}"
    )
    return f"probe {number_of_probe}: trying {number(probe.value)} {unit} ({_STEPS[probe.step]}{bracket})"


def saw(seen: Observation, unit: str, figures: str) -> str:
    """``✗ 12,800 clients failed: p99(delivery) < 200ms: 231 ms``."""
    why = f": {seen.reason}" if seen.reason else f" ({figures})" if figures else ""
    return f"       {sign(seen.outcome)} {number(seen.value)} {unit} {_OUTCOMES[seen.outcome]}{why}"


def sign(outcome: Outcome) -> str:
    """What stands for an outcome where there is no room for words."""
    return _SIGNS.get(outcome, "!")


def answer_text(verdict: Verdict, unit: str) -> str:
    """The answer in one line."""
    held = "" if verdict.held is None else f"{number(verdict.held)} {unit}"
    failed = "" if verdict.failed is None else number(verdict.failed)
    unsure = "" if verdict.confirmed else " (not confirmed)"
    match verdict.kind:
        case "found":
            return f"{held} held, {failed} did not"
        case "ceiling":
            return f"at least {held}: that is --max"
        case "generator" if verdict.held is not None:
            return f"at least {held}, generator-limited: at {failed} the load client was the limit"
        case "generator":
            return f"cannot tell: already at {failed} {unit} the load client was the limit"
        case "unclear" if verdict.held is not None:
            return f"at least {held}; what happens at {failed} cannot be told"
        case "unclear":
            below = f"; {failed} {unit} did not hold or could not be measured" if failed else ""
            return f"cannot tell: no load gave figures that can be judged{below}"
        case "none":
            return f"not even {failed} {unit} held"
        case "unfinished":
            known = [f"{held} held{unsure}" if held else "", f"{failed} did not" if failed else ""]
            return f"unfinished: {', '.join(part for part in known if part) or 'nothing is known yet'}"
