"""A run directory becomes one HTML file: the notebook is executed with the run as its parameter.

The file stands alone: styles and pictures are inside, nothing is fetched, no script runs.  The
notebook runs in a kernel of this very Python with a home directory of its own, so neither installed
kernels nor the user's settings matter, and nothing is left behind but the report.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scalechat.config import OperationalError
from scalechat.load.results import Run, read_run

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode

__all__ = ["write_report"]

_HERE = Path(__file__).resolve().parent
_NEEDED = ("pandas", "matplotlib", "nbclient", "nbformat", "nbconvert", "ipykernel")
# A cell takes well under a second; a run of hours has more rows, but this many seconds mean a hang.
_CELL_DEADLINE_S = 300


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Execute the notebook on a run and write the HTML file.

    Args:
        run_dir: the run's directory, or its run.json; unfinished runs are fine.
        out: where to write; `report.html` in the run's directory when None.

    Returns:
        The file written.

    Raises:
        OperationalError: there is no run, the extra `analysis` is not installed, a table cannot be
            read, or the report cannot be written; one line for the user.
    """
    run = read_run(run_dir)
    _require_extra()
    target = out if out is not None else run.path / "report.html"
    notebook = _executed(_with_run(run))
    content = _rendered(notebook, run)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise OperationalError(f"cannot write the report to {target}: {error.strerror}") from error
    return target


def _require_extra() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise OperationalError(
            f"the report needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'scalechat[analysis]'"
        )


def _notebook_path() -> Path:
    """In a wheel the notebook is inside the package, in a checkout at the top."""
    inside = _HERE / "notebooks" / "analysis.ipynb"
    return inside if inside.exists() else _HERE.parents[1] / "notebooks" / "analysis.ipynb"


def _with_run(run: Run) -> NotebookNode:
    """The notebook with a cell after its parameters cell that names the run."""
    import nbformat

    notebook: NotebookNode = nbformat.read(_notebook_path(), as_version=4)  # type: ignore[no-untyped-call]
    place = next(index for index, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    chosen = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
        f"run_dir = {str(run.path.resolve())!r}", metadata={"tags": ["injected-parameters"]}
    )
    notebook.cells.insert(place + 1, chosen)
    return notebook


def _executed(notebook: NotebookNode) -> NotebookNode:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    with tempfile.TemporaryDirectory(prefix="scalechat-report-") as directory:
        home = Path(directory)
        client = NotebookClient(
            notebook,
            km=_this_python(home),
            timeout=_CELL_DEADLINE_S,
            shutdown_kernel="immediate",
        )
        try:
            # Not client.execute(): it leaves an event loop behind, unclosed.
            asyncio.run(client.async_execute(cleanup_kc=True, cwd=directory, env=_environment(home)))
        except CellExecutionError as error:
            if error.ename == OperationalError.__name__:
                raise OperationalError(error.evalue) from error
            raise
        except DeadKernelError as error:
            raise OperationalError("the report was interrupted: its notebook did not run to the end") from error
    return notebook


def _this_python(home: Path) -> AsyncKernelManager:
    """A kernel of the interpreter that runs this, whatever kernels are installed."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OnlyThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            # It warns that loopback TCP is not encrypted; messages are signed, which is enough here.
            argv.append("--log-level=ERROR")
            return KernelSpec(argv=argv, display_name=kernel_name, language="python")

    return AsyncKernelManager(kernel_spec_manager=OnlyThisPython(), connection_file=str(home / "kernel.json"))


def _environment(home: Path) -> Mapping[str, str]:
    """The kernel's environment: this one, with every cache and setting in a passing directory."""
    environment = dict(os.environ)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        environment[name] = str(home)
    # The pictures use the one font that comes with matplotlib; looking for others takes seconds.
    environment["MPL_IGNORE_SYSTEM_FONTS"] = "1"
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # ipykernel's debugger, unused, warns on stderr
    root = str(_HERE.parents[1])
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # A checkout: the kernel is to import the same one as we did.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return environment


def _rendered(notebook: NotebookNode, run: Run) -> str:
    from nbconvert.exporters.html import HTMLExporter

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="report", extra_template_basedirs=[str(_HERE / "template")]
    )
    resources = {
        "title": f"Scale-Chat run {run.run_id}",
        "style": (_HERE / "template" / "report" / "style.css").read_text(encoding="utf-8"),
    }
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(body)
