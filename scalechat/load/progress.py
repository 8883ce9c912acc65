"""Showing a run on stderr: a live screen on a terminal, a line every few seconds elsewhere, nothing when asked to be
quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scalechat.load.live import Nobody, Snapshot, Watcher

LINE_EVERY_S: Final = 5.0
_PHASES: Final = {"ramp": "ramp", "warmup": "warm-up", "steady": "steady", "drain": "drain"}


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
    """A few lines that are drawn anew each second."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, snapshot: Snapshot) -> None:
        """See `Watcher`."""
        self._live.update(_panel(snapshot), refresh=True)

    def note(self, line: str) -> None:
        """See `Watcher`."""
        self._live.console.print(line, highlight=False)


def _line(snapshot: Snapshot) -> str:
    parts = [
        f"{snapshot.elapsed_s:5.0f} s  {_PHASES[snapshot.phase]:<7}",
        f"clients {snapshot.clients:,}/{snapshot.target_clients:,}",
        f"published {snapshot.published_per_s:,.0f}/s of {snapshot.offered_per_s:,.0f}",
        f"delivered {snapshot.delivered_per_s:,.0f}/s",
        f"p50 {_ms(snapshot.p50_ms)}  p99 {_ms(snapshot.p99_ms)}",
        f"missing {snapshot.missing:,}",
    ]
    if snapshot.errors:
        parts.append(f"errors {snapshot.errors:,}")
    return "  ".join(parts)


def _panel(snapshot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim")
    table.add_column(min_width=30)
    table.add_column(justify="right", style="dim")
    table.add_column()
    left = "" if snapshot.phase_left_s is None else f", {snapshot.phase_left_s:.0f} s left"
    behind = snapshot.offered_per_s and snapshot.published_per_s < 0.98 * snapshot.offered_per_s
    table.add_row(
        "phase",
        Text(f"{_PHASES[snapshot.phase]}{left}", style="bold"),
        "clients",
        _flagged(f"{snapshot.clients:,} of {snapshot.target_clients:,}", snapshot.clients < snapshot.target_clients),
    )
    table.add_row(
        "published",
        _flagged(f"{snapshot.published_per_s:,.0f} of {snapshot.offered_per_s:,.0f} messages/s", bool(behind)),
        "p50",
        _ms(snapshot.p50_ms),
    )
    table.add_row("delivered", f"{snapshot.delivered_per_s:,.0f} deliveries/s", "p99", _ms(snapshot.p99_ms))
    lost = snapshot.missing + snapshot.duplicated + snapshot.reordered
    ledger = f"{snapshot.missing:,} missing, {snapshot.duplicated:,} twice, {snapshot.reordered:,} out of order"
    table.add_row(
        "ledger",
        _flagged(ledger, lost > 0),
        "errors",
        _flagged(f"{snapshot.errors:,}", snapshot.errors > 0),
    )
    table.add_row(
        "this client",
        _flagged(f"{snapshot.cpu_ratio:.0%} of a core", snapshot.cpu_ratio >= 0.8),
        "run",
        f"{snapshot.elapsed_s:.0f} s",
    )
    return table


def _flagged(text: str, worth_a_look: bool) -> Text:
    return Text(text, style="yellow" if worth_a_look else "")


def _ms(value_ms: float | None) -> str:
    if value_ms is None:
        return "-"
    return f"{value_ms:.2f} ms" if value_ms < 10 else f"{value_ms:,.0f} ms"
