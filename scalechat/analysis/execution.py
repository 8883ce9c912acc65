"""Execute a notebook in a kernel of this very Python that leaves nothing behind.

Needs the extra `analysis`.  The kernel gets a directory of its own for every cache and setting, so
neither installed kernels nor the user's configuration matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from scalechat.config import OperationalError

__all__ = ["execute"]

_ROOT = Path(__file__).resolve().parents[2]
# A cell takes well under a second; a run of hours has more rows, but this many seconds mean a hang.
_CELL_DEADLINE_S = 300


def execute(notebook: NotebookNode) -> None:
    """Run all cells; their outputs are put into the notebook.

    Raises:
        OperationalError: a cell raised one (its line is for the user), or the kernel died.
        KeyboardInterrupt: Ctrl-C; the kernel has been ended.
    """
    with tempfile.TemporaryDirectory(prefix="scalechat-report-") as directory:
        try:
            _in_thread(notebook, Path(directory))
        except CellExecutionError as error:
            if error.ename == OperationalError.__name__:
                raise OperationalError(error.evalue) from error
            raise
        except DeadKernelError as error:
            raise OperationalError("the notebook's kernel died before the report was done; run it again") from error


def _in_thread(notebook: NotebookNode, home: Path) -> None:
    """Run the client in a thread: in the main one it takes SIGINT for itself and fails on it."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        await _run(notebook, home)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(run()))
        try:
            running.result()
        except KeyboardInterrupt:
            loop, task = started.result()
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                loop.call_soon_threadsafe(task.cancel)
            raise


async def _run(notebook: NotebookNode, home: Path) -> None:
    manager = AsyncKernelManager(kernel_spec_manager=_OnlyThisPython(), connection_file=str(home / "kernel.json"))
    client = NotebookClient(notebook, km=manager, timeout=_CELL_DEADLINE_S, shutdown_kernel="immediate")
    try:
        await client.async_execute(cleanup_kc=True, cwd=str(home), env=_environment(home))
    finally:
        # The client does not end a kernel that was still starting when it was cancelled.
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)


class _OnlyThisPython(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this, whatever kernels are installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # It warns that loopback TCP is not encrypted; messages are signed, which is enough here.
        argv.append("--log-level=ERROR")
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


def _environment(home: Path) -> Mapping[str, str]:
    """The kernel's environment: this one, with every cache and setting in a passing directory."""
    environment = dict(os.environ)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        environment[name] = str(home)
    # The pictures use the one font that comes with matplotlib; looking for others takes seconds.
    environment["MPL_IGNORE_SYSTEM_FONTS"] = "1"
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # ipykernel's debugger, unused, warns on stderr
    if str(_ROOT) not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # A checkout: the kernel is to import the same one as we did.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH")]))
    return environment
