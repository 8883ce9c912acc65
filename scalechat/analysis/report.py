"""A run directory becomes one HTML file: the notebook is executed with the run as its parameter.

The file stands alone: styles and pictures are inside, nothing is fetched, no script runs.  The
notebook runs in a kernel of this very Python with a home directory of its own, so neither installed
kernels nor the user's settings matter, and nothing is left behind but the report.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from scalechat.config import OperationalError
from scalechat.load.results import Run, read_run

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["write_report"]

_HERE = Path(__file__).resolve().parent
_NEEDED = ("pandas", "scipy", "matplotlib", "nbclient", "nbformat", "nbconvert", "ipykernel")


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
    require_extra()
    target = out if out is not None else run.path / "report.html"
    from .execution import execute  # needs the extra

    notebook = _with_run(run)
    execute(notebook)
    content = _rendered(notebook, run)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise OperationalError(f"cannot write the report to {target}: {error.strerror}") from error
    return target


def require_extra() -> None:
    """Raise OperationalError when a report cannot be made here, before anybody waits for one."""
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
