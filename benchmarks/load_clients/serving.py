"""A server of its own for each run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.process import Cores, free_port, running

OURS = "scalechat"


@contextlib.contextmanager
def served(module: str, cores: Cores, log: Path) -> Iterator[tuple[int, int]]:
    """The server `module` while entered: its port and pid. Ours is as it is shipped, but for the rate limit."""
    port = free_port()
    words = ["serve", "--port", str(port), "--message-rate", "0"] if module == OURS else [str(port)]
    command = [sys.executable, "-m", module, *words]
    with running(command, core=cores.server, port=port, log=log, environ={"PYTHONPATH": str(ROOT)}) as pid:
        yield port, pid
