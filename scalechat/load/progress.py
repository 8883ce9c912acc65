"""Showing a run on stderr: a live screen on a terminal, a line every few seconds elsewhere, nothing when asked to be
quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live

from scalechat.load.live import Nobody, Snapshot, Watcher
from scalechat.load.screen import PHASES, Story, ms_text

LINE_EVERY_S: Final = 5.0


@contextmanager
def shown(console: Console, *, quiet: bool, many_runs: bool = False) -> Iterator[Watcher]:
    """Whoever shows a run on this console, for the body; of `many_runs` a log gets the notes only."""
    if quiet:
        yield Nobody()
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield Screen(live)
    else:
        yield Notes(console) if many_runs else Lines(console)


class Notes:
    """Only what is worth a line of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, snapshot: Snapshot) -> None:
        """See `Watcher`."""

    def note(self, line: str) -> None:
        """See `Watcher`."""
        self._console.print(line, highlight=False, soft_wrap=True)


class Lines(Notes):
    """One line at each change of phase and every `LINE_EVERY_S` seconds, for logs."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._phase = ""
        self._next_s = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """See `Watcher`."""
        if snapshot.phase == self._phase and snapshot.elapsed_s < self._next_s:
            return
        self._phase = snapshot.phase
        self._next_s = snapshot.elapsed_s + LINE_EVERY_S - 0.5  # windows end a little early or late
        self.note(_line(snapshot))


class Screen:
    """The story of the run, drawn anew each second below the notes."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._story = Story()

    def show(self, snapshot: Snapshot) -> None:
        """See `Watcher`."""
        self._story.see(snapshot)
        self._live.update(self._story, refresh=True)

    def note(self, line: str) -> None:
        """See `Watcher`."""
        self._live.console.print(line, highlight=False)


def _line(snapshot: Snapshot) -> str:
    parts = [
        f"{snapshot.elapsed_s:5.0f} s  {PHASES.get(snapshot.phase, snapshot.phase):<7}",
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
