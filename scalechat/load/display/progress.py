"""Showing a run on stderr: a live screen on a terminal, a line every few seconds elsewhere, nothing when asked to be
quiet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from rich.console import Console
from rich.text import Text

from scalechat.config import LoadConfig
from scalechat.load.display.area import Area
from scalechat.load.display.curve import ms_text
from scalechat.load.display.heading import clock_text, phase_text
from scalechat.load.display.programme import Programme
from scalechat.load.display.screen import lines
from scalechat.load.display.story import Story
from scalechat.load.live import Audience, Nobody, Snapshot
from scalechat.palette import FAINT

LINE_EVERY_S: Final = 5.0


@asynccontextmanager
async def shown(console: Console, *, quiet: bool, many_runs: bool = False) -> AsyncIterator[Audience]:
    """Whoever shows a run on this console, for the body; of `many_runs` a log gets the notes only."""
    if quiet:
        yield Nobody()
    elif console.is_terminal and not console.is_dumb_terminal:
        area = Area(console)
        screen = Screen(console, area)
        async with trio.open_nursery() as nursery:
            with area.opened():
                nursery.start_soon(screen.run)
                yield screen
                nursery.cancel_scope.cancel()
    else:
        yield Notes(console) if many_runs else Lines(console)


class Notes:
    """Only what is worth a line of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, config: LoadConfig) -> None:
        """See `Audience`."""

    def wait(self, what: str) -> None:
        """See `Audience`."""

    def show(self, snapshot: Snapshot) -> None:
        """See `Audience`."""

    def note(self, line: str) -> None:
        """See `Audience`."""
        self._console.print(Text(line), soft_wrap=True)


class Lines(Notes):
    """One line at each change of phase and every `LINE_EVERY_S` seconds, for logs."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._phase = ""
        self._next_s = 0.0
        self._untold: Programme | None = None

    def begin(self, config: LoadConfig) -> None:
        """See `Audience`."""
        self._untold = Programme.of(config)

    def show(self, snapshot: Snapshot) -> None:
        """See `Audience`."""
        if (programme := self._untold) is not None:  # not before there is a server: otherwise its absence is the news
            self.note(f"{programme.target}: {programme.size}, takes about {clock_text(programme.duration_s)}")
            self._untold = None
        if snapshot.phase == self._phase and snapshot.elapsed_s < self._next_s:
            return
        self._phase = snapshot.phase
        self._next_s = snapshot.elapsed_s + LINE_EVERY_S - 0.5  # windows end a little early or late
        self.note(_line(snapshot))


class Screen:
    """The story of the run, drawn anew each second below the notes."""

    def __init__(self, console: Console, area: Area) -> None:
        self._console = console
        self._area = area
        self._story = Story()
        self._has_changed = trio.Event()

    def begin(self, config: LoadConfig) -> None:
        """See `Audience`."""
        self._story.begin(config)
        self._has_changed.set()

    def wait(self, what: str) -> None:
        """See `Audience`."""
        self._story.wait(what)
        self._has_changed.set()

    def show(self, snapshot: Snapshot) -> None:
        """See `Audience`."""
        self._story.see(snapshot)
        self._has_changed.set()

    def note(self, line: str) -> None:
        """See `Audience`."""
        since_s = self._story.going_on_s
        when = "" if since_s is None else f"{clock_text(since_s):>7}  "
        self._area.note(Text.assemble((when, FAINT), line))

    async def run(self) -> None:
        """Draw whatever is new, until cancelled. Everybody else gets a turn after each line: the load goes before."""
        while True:
            await self._has_changed.wait()
            self._has_changed = trio.Event()
            ready = []
            width, height = self._console.size
            for line in lines(self._story, width, height, ascii_only=self._console.options.ascii_only):
                ready.append(self._area.rendered(line))
                await trio.lowlevel.checkpoint()
            self._area.draw(ready)


def _line(snapshot: Snapshot) -> str:
    parts = [
        f"{snapshot.elapsed_s:5.0f} s  {phase_text(snapshot.phase):<7}",
        f"clients {snapshot.clients:,}/{snapshot.target_clients:,}",
        f"published {snapshot.published_per_s:,.0f}/s of {snapshot.offered_per_s:,.0f}",
        f"delivered {snapshot.delivered_per_s:,.0f}/s",
        f"p50 {ms_text(snapshot.p50_ms)}  p99 {ms_text(snapshot.p99_ms)}",
        f"missing {snapshot.missing:,}",
    ]
    if snapshot.is_closed_loop:
        parts.append("closed loop")
    if snapshot.errors:
        parts.append(f"errors {snapshot.errors:,}")
    return "  ".join(parts)
