"""The diagnosis, in words with its evidence, as a part of a page."""

from __future__ import annotations

import html
from collections.abc import Sequence

from . import diagnosis
from .diagnosis import Evidence, Finding
from .frames import RunFrames
from .style import Html, note

__all__ = ["limits", "told"]


def told(frames: RunFrames) -> Html:
    """What held the run back: each cause with how sure it is, what was seen, where and when, and what to do next."""
    found = diagnosis.diagnose(frames)
    if found:
        return limits(found)
    used = diagnosis.usages(frames)
    seen = "; ".join(f"{usage.resource} {usage.text}" for usage in used)
    return note(f"Nothing was at its limit: {seen}." if used else "No limit can be seen from here.")


def limits(found: Sequence[Finding]) -> Html:
    """Findings, the surest first."""
    return Html(f'<ol class="findings">{"".join(map(_finding, found))}</ol>')


def _finding(finding: Finding) -> str:
    cause = finding.cause[:1].upper() + finding.cause[1:]
    seen = "".join(f"<li>{_evidence(evidence)}</li>" for evidence in finding.evidence)
    more = f" More: <code>docs/scale-problems/{finding.page}</code>" if finding.page else ""
    return (
        f'<li class="{finding.side}"><strong>{html.escape(cause)}</strong> <em>{finding.strength}</em>'
        f"<ul>{seen}</ul><p>Try: {html.escape(finding.next_step)}.{more}</p></li>"
    )


def _evidence(evidence: Evidence) -> str:
    return f"{html.escape(str(evidence))} <small>{html.escape(evidence.source)}</small>"
