"""The two lines at the top of the screen: what the run is and how long it takes, and where it is now."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from scalechat.load.course import PHASE_NAMES, PhaseNumber
from scalechat.load.display.programme import Programme
from scalechat.load.display.story import Story
from scalechat.load.live import Snapshot
from scalechat.palette import ACCENT, FAINT, GOOD

_WORDS: Final = {"warmup": "warm-up"}
_BAR: Final = 12
"""Columns of the bar, at least; where there is room for less, there is none."""


def phase_text(name: str) -> str:
    """A phase's name as people write it."""
    return _WORDS.get(name, name)


def title(story: Story, width: int) -> Text:
    """Server, clients and rooms; on the right how long it has been and will be."""
    programme = _programme(story)
    what = Text.assemble((programme.target, "bold"), f"  {programme.size}")
    if story.now is None:
        times = f"takes about {clock_text(programme.duration_s)}"
    elif (left_s := programme.left_s(story.now)) >= 1:
        times = f"{clock_text(story.now.elapsed_s)}, about {clock_text(left_s)} left"
    else:
        times = clock_text(story.now.elapsed_s)
    return _apart(what, Text(times), width)


def phases(story: Story, width: int) -> Text:
    """The phases with signs of what is done, a bar of the one that is going on, and what is left of it."""
    programme, now, waiting = _programme(story), story.now, Text(f"{story.waiting or ''} …")
    if now is None:
        return waiting
    if story.waiting is not None:
        return _apart(_strip(programme, len(programme.phases)), waiting, width)
    done, words = _progress(programme, now)
    here = programme.position(now.phase)
    strip = _strip(programme, here)
    if strip.cell_len + _BAR + len(words) + 4 > width:
        count = f"{here + 1} of {len(programme.phases)}"
        strip = Text.assemble((f"{phase_text(now.phase)}", "bold"), f" ({count})")
    room = width - strip.cell_len - len(words) - 4
    bar = _bar(done, room) if room >= _BAR else Text()
    return _apart(Text.assemble(strip, "  ", bar), Text(words), width)


def clock_text(seconds: float) -> str:
    """``0:07``, ``12:30``, ``3:00:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _strip(programme: Programme, here: int) -> Text:
    """Those before `here` are over."""
    strip = Text()
    for index, phase in enumerate(programme.phases):
        name = phase_text(phase.name)
        strip.append("  " if index else "")
        if index < here:
            strip.append("✓ ", style=GOOD).append(name)
        elif index == here:
            strip.append("▶ ", style=ACCENT).append(name, style="bold")
        else:
            strip.append(f"  {name}", style=FAINT)
    return strip


def _progress(programme: Programme, now: Snapshot) -> tuple[float, str]:
    planned_s, left_s = programme.phases[programme.position(now.phase)].duration_s, programme.phase_left_s(now)
    if now.phase == PHASE_NAMES[PhaseNumber.RAMP] and left_s is None:
        return 1.0, "connections are late"
    if now.phase == PHASE_NAMES[PhaseNumber.DRAIN]:
        under_way = max(0, now.expected - now.delivered)
        words = f"{under_way:,} under way" if under_way else "everything has come"
        return now.delivered / (now.expected or 1), words
    return 1 - (left_s or 0.0) / (planned_s or 1.0), f"{left_s or 0.0:.0f} s left"


def _bar(done: float, width: int) -> Text:
    """Heavy is done and light is to do: it can be read without colour."""
    filled = round(min(max(done, 0.0), 1.0) * width)
    return Text.assemble(("━" * filled, ACCENT), ("─" * (width - filled), FAINT))


def _apart(left: Text, right: Text, width: int) -> Text:
    """One at the left end of the line and one at its right; the left one is cut when both do not fit."""
    room = width - right.cell_len - 2
    if left.cell_len > room:
        left = left.copy()
        left.truncate(max(room, 0), overflow="ellipsis")
    return Text.assemble(left, " " * max(width - left.cell_len - right.cell_len, 1), right)


def _programme(story: Story) -> Programme:
    assert story.programme is not None
    return story.programme
