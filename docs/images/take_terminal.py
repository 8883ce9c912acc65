"""The picture of the live screen in README and docs: ``python -m docs.images.take_terminal``.

A real run of the reconnect storm on a pseudo-terminal, against a server of its own, after most of its half minute: what
it has noted, and the last screen it drew. The Chromium that the tests drive takes it.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from scalechat.demo import server_process
from tests.web.browser import open_chromium

PICTURE: Final = Path(__file__).parent / "load.png"
COLUMNS, LINES = 96, 36
SECONDS: Final = 29.0
"""After the first screen: the storm and the burst are over, the run is not."""
SLOS: Final = ("p99(delivery) < 200ms", "missing == 0", "duplicated == 0")
_UP: Final = re.compile(r"\r\x1b\[\d+A")
_NOTE: Final = re.compile(r"\x1b\[J((?:\x1b\[[\d;]*m|[^\r\n\x1b])+)\n")
_THEME: Final = TerminalTheme((18, 20, 24), (216, 218, 222), [(0, 0, 0)] * 8, [(0, 0, 0)] * 8)
_PAGE: Final = (
    "<meta charset=utf-8><style>{stylesheet} body{{margin:0;padding:14px 16px;display:inline-block;color:{foreground};"
    'background:{background}}}pre{{font:14px/17px "DejaVu Sans Mono",monospace;margin:0}}</style><pre>{code}</pre>'
)


async def main() -> None:
    """Take it."""
    async with server_process() as url:
        with TemporaryDirectory() as runs:
            raw = await trio.to_thread.run_sync(recorded, f"ws{url.removeprefix('http')}/ws", runs)
    take(list(seen(raw)))


def recorded(url: str, runs: str) -> str:
    """What the load client has written to its terminal so far."""
    words = ["load", "--scenario", "configs/scenarios/reconnect-storm.toml", "--server-url", url, "--out", runs]
    words += [f"--slo={slo}" for slo in SLOS]
    with terminal([sys.executable, "-m", "scalechat", *words]) as ours:
        raw, until = "", float("inf")
        while (left := until - time.monotonic()) > 0:
            if not select.select([ours], [], [], min(left, 1.0))[0]:
                continue
            raw += os.read(ours, 65_536).decode(errors="replace").replace("\r\n", "\n")
            if until == float("inf") and "steady" in raw:
                until = time.monotonic() + SECONDS
        return raw


@contextmanager
def terminal(command: list[str]) -> Iterator[int]:
    """Our end of a terminal on which the command runs; it is killed at the end of the body."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (LINES, COLUMNS))
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True)
    try:
        yield ours
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)
        os.close(theirs)


def seen(raw: str) -> Iterator[Text]:
    """Notes, and the lines of the last screen that is whole."""
    yield from (Text.from_ansi(note) for note in _NOTE.findall(raw))
    *_, screen = (part for part in _UP.split(raw) if part.endswith("\x1b[J") and "\n" in part)
    yield from (Text.from_ansi(line) for line in screen.replace("\x1b[K", "").removesuffix("\x1b[J").split("\n"))


def take(lines: list[Text]) -> None:
    """As a terminal of `COLUMNS` shows it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    page = console.export_html(theme=_THEME, code_format=_PAGE)
    with open_chromium() as browser:
        tab = browser.new_page(viewport={"width": 900, "height": 800}, device_scale_factor=1.2)
        tab.set_content(page)
        tab.locator("body").screenshot(path=PICTURE)


if __name__ == "__main__":
    trio.run(main)
