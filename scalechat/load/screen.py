"""The live screen of a run: what was seen so far, as a value, and how it is drawn into the width there is.

Nothing here knows a terminal: `Story` takes snapshots, and drawing it is Rich's protocol, so a test draws it at any
size. Wide screens have two columns, narrow ones a column; colour only repeats what the words say.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scalechat.load.live import ServerGlimpse, Snapshot
from scalechat.load.verdict import MAX_CPU_RATIO, MIN_ACHIEVED

PHASES: Final = {"ramp": "ramp", "warmup": "warm-up", "steady": "steady", "drain": "drain"}
REMEMBERED: Final = 120
"""Windows of about a second: two minutes are as many as a wide terminal shows."""
_WIDE: Final = 76
_BARS: Final = "▁▂▃▄▅▆▇█"
_BARS_ASCII: Final = "_.-~=+*#"
_LATE_MS: Final = 10.0
"""A load client this late is one to look at; see the validity rules."""

Row = tuple[str, Text]


class Story:
    """What a run has shown up to now."""

    def __init__(self) -> None:
        self._now: Snapshot | None = None
        self._phase_began_s = 0.0
        self._p50: deque[float | None] = deque(maxlen=REMEMBERED)
        self._p99: deque[float | None] = deque(maxlen=REMEMBERED)
        self._p99_9: deque[float | None] = deque(maxlen=REMEMBERED)

    def see(self, snapshot: Snapshot) -> None:
        """One more window. A clock that has gone back is another run's: its story begins."""
        before = self._now
        if before is not None and snapshot.elapsed_s < before.elapsed_s:
            for history in (self._p50, self._p99, self._p99_9):
                history.clear()
        if before is None or before.phase != snapshot.phase or snapshot.elapsed_s < before.elapsed_s:
            self._phase_began_s = max(0.0, snapshot.elapsed_s - snapshot.window_s)
        self._now = snapshot
        self._p50.append(snapshot.p50_ms)
        self._p99.append(snapshot.p99_ms)
        self._p99_9.append(snapshot.p99_9_ms)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it into the width that Rich offers."""
        if self._now is None:
            return
        wide, bars = options.max_width >= _WIDE, _BARS_ASCII if options.ascii_only else _BARS
        yield self._phase(self._now)
        # Half of the screen, without the label, the figure and what separates them.
        room = options.max_width // 2 - 22 if wide else options.max_width - 27
        load, times = list(_load(self._now)), list(self._times(self._now, bars, max(room, 0)))
        if wide:
            grid = Table.grid(expand=True, padding=(0, 1))
            grid.add_column(ratio=1)
            grid.add_column(ratio=1)
            grid.add_row(_rows(load), _rows(times))
            yield grid
        else:
            yield _rows(load + times)
        yield _rows(list(_state(self._now)))

    def _phase(self, now: Snapshot) -> Table:
        left = now.phase_left_s
        if left is not None:
            whole = max(now.elapsed_s + left - self._phase_began_s, 1e-9)
            done, words = 1 - left / whole, f"{left:.0f} s left"
        elif now.phase == "ramp":
            done, words = now.clients / max(now.target_clients, 1), f"{now.elapsed_s:.0f} s"
        else:
            done, words = 1.0, "waiting for what is under way"
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(width=11)
        line.add_column(ratio=1)
        line.add_column(justify="right")
        bar = ProgressBar(total=1.0, completed=min(max(done, 0.0), 1.0), complete_style="cyan")
        line.add_row(Text(PHASES.get(now.phase, now.phase), style="bold"), bar, Text(words, no_wrap=True))
        return line

    def _times(self, now: Snapshot, bars: str, room: int) -> Iterator[Row]:
        for label, value, history in (
            ("p50", now.p50_ms, self._p50),
            ("p99", now.p99_ms, self._p99),
            ("p99.9", now.p99_9_ms, self._p99_9),
        ):
            text = Text(f"{ms_text(value):>9}", no_wrap=True)
            text.append(f"  {sparkline(list(history)[-room:] if room else [], bars)}", style="cyan")
            yield label, text


def sparkline(values: Sequence[float | None], bars: str = _BARS) -> str:
    """One character a value, on a logarithmic scale over what is shown; a gap where there was none."""
    known = [math.log(value) for value in values if value is not None and value > 0]
    if not known:
        return " " * len(values)
    low, span = min(known), max(known) - min(known)
    # Less than a factor of two is the noise of a quiet run, and is not to look like mountains.
    span = max(span, math.log(2))

    def bar(value: float | None) -> str:
        if value is None or value <= 0:
            return " "
        return bars[min(int((math.log(value) - low) / span * len(bars)), len(bars) - 1)]

    return "".join(bar(value) for value in values)


def ms_text(value_ms: float | None) -> str:
    """Milliseconds as ``1.25 ms``, ``231 ms``; a dash for none."""
    if value_ms is None:
        return "-"
    return f"{value_ms:.2f} ms" if value_ms < 10 else f"{value_ms:,.0f} ms"


def _load(now: Snapshot) -> Iterator[Row]:
    behind = now.offered_per_s > 0 and now.published_per_s < MIN_ACHIEVED * now.offered_per_s
    yield "clients", _flagged(f"{now.clients:,} of {now.target_clients:,}", now.clients < now.target_clients)
    yield "messages/s", _flagged(f"{now.published_per_s:,.0f} of {now.offered_per_s:,.0f}", behind)
    yield "deliver/s", Text(f"{now.delivered_per_s:,.0f}")


def _state(now: Snapshot) -> Iterator[Row]:
    if now.is_closed_loop:
        yield "closed loop", _flagged("each client waits for its answer: stalls are hidden", worth_a_look=True)
    ledger = (
        (now.missing, "missing"),
        (now.duplicated, "twice"),
        (now.reordered, "out of order"),
        (now.corrupted, "corrupted"),
        (now.errors, "errors"),
    )
    yield "ledger", Text(", ").join(_flagged(f"{count:,} {what}", count > 0) for count, what in ledger)
    health = [_flagged(f"{now.cpu_ratio:.0%} of a core", now.cpu_ratio >= MAX_CPU_RATIO)]
    for what, value_ms in (("loop lag", now.loop_lag_p99_ms), ("send lag", now.send_lag_p50_ms)):
        if value_ms is not None:
            health.append(_flagged(f"{what} {ms_text(value_ms)}", value_ms > _LATE_MS))
    if now.rss_bytes is not None:
        health.append(Text(f"{now.rss_bytes / 1e6:,.0f} MB"))
    yield "this client", Text(", ").join(health)
    if now.server is not None:
        yield "server", Text(", ").join(_server(now.server))


def _server(server: ServerGlimpse) -> Iterator[Text]:
    if server.cpu_cores is not None:
        yield Text(f"{server.cpu_cores:.0%} of a core")
    if server.rss_bytes is not None:
        yield Text(f"{server.rss_bytes / 1e6:,.0f} MB")
    if server.queue_frames is not None:
        queued = f"queue {server.queue_frames:,.0f} frames"
        if server.queue_bytes:
            queued += f" ({server.queue_bytes / 1e3:,.0f} kB)"
        yield _flagged(queued, server.queue_frames > 0)


def _rows(rows: Sequence[Row]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=11, style="dim", no_wrap=True)
    table.add_column()
    for label, text in rows:
        table.add_row(label, text)
    return table


def _flagged(text: str, worth_a_look: bool) -> Text:
    return Text(text, style="yellow" if worth_a_look else "")
