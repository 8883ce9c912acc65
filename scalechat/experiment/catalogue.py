"""The experiments that come with the program, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from scalechat.config import UsageError
from scalechat.experiment.spec import Experiment, read_experiment

_HERE = Path(__file__).resolve().parent


def catalogue() -> dict[str, Path]:
    """Name → file of each experiment that comes with the program, in the catalogue's order."""
    inside = _HERE / "experiments"  # in a wheel; a checkout has them at the top
    folder = inside if inside.is_dir() else _HERE.parents[1] / "configs" / "experiments"
    numbered = sorted((read_experiment(path).number, path) for path in folder.glob("*.toml"))
    return {path.stem: path for _, path in numbered}


def chosen(names: Iterable[str], known: Mapping[str, Path]) -> list[tuple[str, Experiment]]:
    """The experiments that were asked for: names of the catalogue, ``all``, or files. Raises `UsageError`."""
    wanted = tuple(names)
    paths = known.values() if wanted == ("all",) else [_path(name, known) for name in wanted]
    return [(path.stem, read_experiment(path)) for path in paths]


def _path(name: str, known: Mapping[str, Path]) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    if name in known:
        return known[name]
    if name in ("all", "list"):
        raise UsageError(f"{name!r} stands alone: give it without other names")
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else "'experiment list' shows all"
    raise UsageError(f"no experiment is called {name!r}: {hint}")
