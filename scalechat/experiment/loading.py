"""The load client of one side: from settings to a run directory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from scalechat.config import OperationalError
from scalechat.experiment.part import own_environment
from scalechat.experiment.scenario import scenario_text
from scalechat.experiment.spec import Settings

_LOOK_S: Final = 0.02


async def load(settings: Settings, url: str, out: Path, enter: list[str], begun: Callable[[], object]) -> Path:
    """Run the load client to its end; its scenario and its run directory stay in `out`.

    `enter` stands in front of the command. `begun` is called when the run's clock starts, so what happens in it has
    the run's own times.

    Raises:
        OperationalError: no run came of it, or `out` cannot be written.
    """
    scenario = _written(out / "scenario.toml", scenario_text(settings))
    words = ["load", "--scenario", str(scenario), "--server-url", url, "--out", str(out), "--quiet"]
    command = [*enter, sys.executable, "-m", "scalechat", *words]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell_when_begun, out, begun)
        done = await trio.run_process(
            command, check=False, capture_stdout=True, capture_stderr=True, env=own_environment()
        )
        nursery.cancel_scope.cancel()
    if done.returncode in (1, 2):
        last = (done.stderr or done.stdout).decode(errors="replace").strip().rpartition("\n")[2]
        raise OperationalError(f"the experiment's load did not run: {last}")
    try:
        (run_dir,) = _runs_in(out)
    except (OSError, ValueError) as error:
        raise OperationalError(f"the experiment's load left no run in {out}") from error
    return run_dir


async def _tell_when_begun(out: Path, begun: Callable[[], object]) -> None:
    """A run makes its directory when the server has been greeted and nothing but the first connection is next."""
    while not _runs_in(out):  # noqa: ASYNC110  The directory is another process's.
        await trio.sleep(_LOOK_S)
    begun()


def _runs_in(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if path.is_dir()]


def _written(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperationalError(f"cannot write {path}: {error.strerror}") from error
    return path
