"""A person at a terminal, for tests: types keys into a real pseudo-terminal and reads its screen."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping

import pyte
import pytest

from tests.conftest import clean_environ

WITHIN_S = 20.0  # a cold interpreter on a busy machine
ROWS, COLUMNS = 30, 100

Attributes = list[int | list[bytes | int]]


class PseudoTerminal:
    """Runs ``python -m scalechat chat …`` on a pseudo-terminal whose screen an emulator keeps."""

    def __init__(self, *args: str, env: Mapping[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
        self._theirs = theirs  # kept open, so that its settings can be looked at after the end
        self.before: Attributes = termios.tcgetattr(theirs)
        # No fork of our own: this process has threads. A new session, so that no signal of ours reaches it.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scalechat", "chat", *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=clean_environ({"TERM": "xterm-256color", **(env or {})}),
        )
        self.raw = b""
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def after(self) -> Attributes:
        """The settings of the terminal now."""
        found: Attributes = termios.tcgetattr(self._theirs)
        return found

    @property
    def screen(self) -> str:
        """What a person sees now."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def sees(self, text: str) -> None:
        """Wait until `text` is on the screen."""
        deadline = time.monotonic() + WITHIN_S
        while text not in self.screen:
            if not self._read(deadline - time.monotonic()):
                pytest.fail(f"did not see {text!r} on\n{self.screen}")

    def ends(self) -> int:
        """Wait for the end of the program; return its exit code."""
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                pytest.fail(f"still running; it shows\n{self.screen}")
            self._read(0.02)
        while self._read(0.0):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(WITHIN_S)
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self, within_s: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, within_s))
        if not ready:
            return False
        found = os.read(self._ours, 65_536)
        self.raw += found
        self._stream.feed(found)
        return True
