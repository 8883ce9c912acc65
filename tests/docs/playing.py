"""Plays the commands of a page as a reader would type them, one block after the other.

In a copy of the repository, with this environment's `python` first. A port that a page says it serves is another, free
one here: its number is replaced wherever the page has it. What a block leaves running is ended, by its process group,
when the page ends.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from tests.conftest import clean_environ
from tests.docs.markdown import ROOT, Block, Page
from tests.docs.marks import File, Mark, Printed, Run, mark_of
from tests.ports import unused_port

BLOCK_S: Final = 100.0
STOP_S: Final = 15.0
_INSTALLATION: Final = re.compile(r"\s*(?:\S*python3? -m venv|\S*pip install)\s[^&\n]*(?:&&|\n|$)")
_NOT_COPIED: Final = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "runs", "dist")


class Wrong(AssertionError):
    """A block did not do what its page says."""


def play(page: Page, folder: Path) -> int:
    """Run what the page marks so, in a new copy of the repository in `folder`; how many blocks. Raises `Wrong`."""
    marked = [(block, mark) for block in page.blocks if (mark := mark_of(block)) is not None]
    if not any(isinstance(mark, Run) for _, mark in marked):
        return 0
    return _play(marked, _copy(folder / "scalechat"))


def _play(marked: Sequence[tuple[Block, Mark]], home: Path) -> int:
    ports = {port: unused_port() for _, mark in marked if isinstance(mark, Run) for port in mark.ports}
    ran = 0
    printed = ""
    with _processes() as started:
        for block, mark in marked:
            text = _on_free_ports(block.text, ports)
            if isinstance(mark, File):
                (home / mark.name).write_text(text, encoding="utf-8")
            elif isinstance(mark, Printed):
                if not pattern_of(block.text).search(printed):
                    raise Wrong(f"{block}: not what was printed:\n{printed}")
            elif isinstance(mark, Run):
                output = home.parent / f"output-{block.line}"
                for before in [p for p, served in started if set(served) & set(mark.ports)]:
                    _end(before)  # as a reader does with Ctrl-C before the next server takes its port
                process = _start(_INSTALLATION.sub("", text) if mark.installed else text, mark, home, ports, output)
                started.append((process, mark.ports))
                complaint = _seen(process, mark, [ports[port] for port in mark.ports])
                printed = output.read_text(errors="replace")
                if complaint:
                    raise Wrong(f"{block}: {complaint}\n{block.text}\n{printed}")
                if not _group(process.pid):
                    started.pop()  # its number may soon be another's
                ran += 1
    return ran


def pattern_of(text: str) -> re.Pattern[str]:
    """What output must hold to be as shown: the same words in the same order, whatever the numbers."""

    def word(shown: str) -> str:
        pieces = re.split(r"(…|\d[\d,.]*)", shown)
        return "".join(".*?" if p == "…" else r"\d[\d,.]*" if p[:1].isdigit() else re.escape(p) for p in pieces)

    return re.compile(r"\s+".join(word(shown) for shown in text.split()), re.DOTALL)


def _copy(home: Path) -> Path:
    shutil.copytree(ROOT, home, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    (home / ".venv").symlink_to(sys.prefix)
    return home


def _on_free_ports(text: str, ports: dict[int, int]) -> str:
    return re.sub(r"(?<![\w.])\d+(?!\w)", lambda found: str(ports.get(int(found[0]), found[0])), text)


def _start(text: str, mark: Run, home: Path, ports: dict[int, int], output: Path) -> subprocess.Popen[bytes]:
    environ = clean_environ({"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"})
    if 8080 in ports:  # where commands go that name no port
        environ |= {
            "SCALECHAT_PORT": str(ports[8080]),
            "SCALECHAT_SERVER_URL": f"ws://localhost:{ports[8080]}/ws",
        }
    with output.open("wb") as file:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=home,
            env=environ | mark.variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _seen(process: subprocess.Popen[bytes], mark: Run, ports: Sequence[int]) -> str | None:
    """What is wrong with it, once it has ended or, when it serves, listens."""
    if not ports:
        try:
            code = process.wait(BLOCK_S)
        except subprocess.TimeoutExpired:
            return f"not done within {BLOCK_S:g} s"
        return None if code in mark.exit_codes else f"exit code {code}"
    deadline = time.monotonic() + BLOCK_S
    while not all(map(_listens, ports)):
        if process.poll():
            return f"exit code {process.returncode}"
        if time.monotonic() > deadline:
            return f"does not listen on {ports} within {BLOCK_S:g} s"
        time.sleep(0.05)  # between two looks at other processes
    return None


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _processes() -> Iterator[list[tuple[subprocess.Popen[bytes], tuple[int, ...]]]]:
    """A list of leaders of process groups and what they serve; they end with the page."""
    started: list[tuple[subprocess.Popen[bytes], tuple[int, ...]]] = []
    try:
        yield started
    finally:
        for process, _ in reversed(started):
            _end(process)


def _end(leader: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for member in _group(leader.pid):
            with suppress(ProcessLookupError):
                os.kill(member, sign)
        deadline = time.monotonic() + STOP_S
        while (leader.poll() is None or _group(leader.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)  # between two looks at other processes


def _group(leader: int) -> list[int]:
    """The members of a process group that are alive; each block leads a session, and so a group, of its own."""
    members = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.info["pid"]) == leader:
                members.append(process.info["pid"])
        except ProcessLookupError:
            continue
    return members
