"""A run directory becomes one HTML file: the notebook is executed with the run as its parameter.

The file stands alone: styles and pictures are inside, nothing is fetched, no script runs.  The
notebook runs in a kernel of this very Python with a home directory of its own, so neither installed
kernels nor the user's settings matter, and nothing is left behind but the report.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scalechat.config import OperationalError
from scalechat.experiment.outcome import FILENAME, read_outcome
from scalechat.load.results import read_run

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["require_extra", "write_comparison", "write_prometheus", "write_report"]

_HERE = Path(__file__).resolve().parent
_NEEDED = ("pandas", "scipy", "matplotlib", "nbclient", "nbformat", "nbconvert", "ipykernel")


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Execute the notebook on a run, a capacity search or an experiment and write the HTML file.

    Args:
        run_dir: the directory of the run, search or experiment, or its run.json; unfinished runs are fine.
        out: where to write; `report.html` in that directory when None.

    Returns:
        The file written.

    Raises:
        OperationalError: there is no run, the extra `analysis` is not installed, a table cannot be
            read, or the report cannot be written; one line for the user.
    """
    if (run_dir / FILENAME).is_file():
        name = read_outcome(run_dir).name
        target = out if out is not None else run_dir / "report.html"
        return _write("experiment", {"directory": str(run_dir.resolve())}, f"Scale-Chat experiment {name}", target)
    run = read_run(run_dir)
    path = str(run.path.resolve())
    target = out if out is not None else run.path / "report.html"
    if run.is_search:
        return _write("capacity", {"search_dir": path}, f"Scale-Chat capacity {run.run_id}", target)
    return _write("analysis", {"run_dir": path}, f"Scale-Chat run {run.run_id}", target)


def write_comparison(base: Path, new: Path, out: Path | None = None) -> Path:
    """The same for two systems, each a run, a directory of runs or a pattern; `comparison.html` beside the new one."""
    require_extra()
    from .comparing import find_runs

    for path in (base, new):
        find_runs(path)  # before a notebook is started for nothing
    beside = new if new.is_dir() else new.parent
    target = out if out is not None else beside / "comparison.html"
    paths = {"base_path": str(base.resolve()), "new_path": str(new.resolve())}
    return _write("compare", paths, f"Scale-Chat {base.name} and {new.name}", target)


def write_prometheus(url: str, minutes: float, until: str, out: Path | None = None) -> Path:
    """The same for what a Prometheus saw in the minutes until a moment; `report.html` in the working directory."""
    parameters: dict[str, str | float] = {"url": url, "minutes": minutes, "until": until}
    return _write("prometheus", parameters, f"Scale-Chat by {url}", out if out is not None else Path("report.html"))


def _write(name: str, parameters: Mapping[str, str | float], title: str, target: Path) -> Path:
    require_extra()
    from .execution import execute  # needs the extra

    temporary = target.with_name(f".{target.name}.tmp")
    with _one_line_errors(target):  # before anybody waits for a report that has no place
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    notebook = _with_parameters(name, parameters)
    execute(notebook)
    content = _rendered(notebook, title)
    with _one_line_errors(target):
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(target)
    return target


@contextmanager
def _one_line_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OperationalError(f"cannot write the report to {target}: {error.strerror}") from error


def require_extra() -> None:
    """Raise OperationalError when a report cannot be made here, before anybody waits for one."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise OperationalError(
            f"the report needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'scalechat[analysis]'"
        )


def _notebook_path(name: str) -> Path:
    """In a wheel the notebooks are inside the package, in a checkout at the top."""
    inside = _HERE / "notebooks" / f"{name}.ipynb"
    return inside if inside.exists() else _HERE.parents[1] / "notebooks" / f"{name}.ipynb"


def _with_parameters(name: str, parameters: Mapping[str, str | float]) -> NotebookNode:
    """The notebook with a cell after its parameters cell that sets them anew."""
    import nbformat

    notebook: NotebookNode = nbformat.read(_notebook_path(name), as_version=4)  # type: ignore[no-untyped-call]
    place = next(index for index, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    chosen = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
        "\n".join(f"{key} = {value!r}" for key, value in parameters.items()),
        metadata={"tags": ["injected-parameters"]},
    )
    notebook.cells.insert(place + 1, chosen)
    return notebook


def _rendered(notebook: NotebookNode, title: str) -> str:
    from nbconvert.exporters.html import HTMLExporter

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="report", extra_template_basedirs=[str(_HERE / "template")]
    )
    resources = {
        "title": title,
        "style": (_HERE / "template" / "report" / "style.css").read_text(encoding="utf-8"),
    }
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(body)
