"""Whether symptom and cure really appeared: comparisons of figures, written as a person would.

    before.delivery_p99 > 3 * after.delivery_p99
    after.missing == 0

A comparison with a figure that a run does not have does not hold: silence proves nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

Figures = Mapping[str, float]
"""What one run measured, by name."""

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_NUMBER = r"[0-9][0-9_]*(?:\.[0-9]+)?"
_FIGURE = r"(?:before|after)\.[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"
_COMPARISON: Final = re.compile(
    rf"\s*(?P<left>{_FIGURE})\s*(?P<operator><=|>=|==|!=|<|>)\s*"
    rf"(?:(?:(?P<factor>{_NUMBER})\s*\*\s*)?(?P<right>{_FIGURE})|(?P<number>{_NUMBER}))\s*"
)


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["symptom", "cure"]
    that: str
    """The comparison."""

    def __post_init__(self) -> None:
        if _COMPARISON.fullmatch(self.that) is None:
            raise ValueError(f"cannot read the check {self.that!r}: write it as 'before.missing > 10 * after.missing'")


class Checked(msgspec.Struct, frozen=True):
    """A check and what it found."""

    check: Check
    left: float | None
    right: float | None
    holds: bool

    def __str__(self) -> str:
        seen = f"{_shown(self.left)} against {_shown(self.right)}"
        return f"{self.check.kind}: {self.check.that} ({seen}): {'yes' if self.holds else 'NO'}"


def check(wanted: Check, before: Figures, after: Figures) -> Checked:
    """Hold a check against what the two runs measured."""
    parts = _COMPARISON.fullmatch(wanted.that)
    assert parts is not None
    left = _figure(parts["left"], before, after)
    if parts["number"] is not None:
        right: float | None = float(parts["number"])
    else:
        right = _figure(parts["right"], before, after)
        if right is not None and parts["factor"] is not None:
            right *= float(parts["factor"])
    holds = left is not None and right is not None and _OPERATORS[parts["operator"]](left, right)
    return Checked(wanted, left, right, holds)


def names_in(text: str) -> list[str]:
    """The figures that a comparison or a sentence speaks of, without their side."""
    return [name.partition(".")[2] for name in re.findall(_FIGURE, text)]


def _figure(name: str, before: Figures, after: Figures) -> float | None:
    side, _, figure = name.partition(".")
    return (before if side == "before" else after).get(figure)


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.6g}"
