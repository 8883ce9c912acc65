"""The load client of one side: from settings to a run directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from scalechat.config import OperationalError
from scalechat.experiment.part import own_environment
from scalechat.experiment.scenario import scenario_text
from scalechat.experiment.spec import Settings

_LOOK_S: Final = 0.02


async def load(
    settings: Settings,
    url: str,
    out: Path,
    enter: list[str],
    begun: Callable[[], object],
    say_now: Callable[[str], object],
) -> Path:
    """Run the load client to its end; its scenario and its run directory stay in `out`.

    `enter` stands in front of the command. `begun` is called when the run's clock starts, so what happens in it has
    the run's own times. `say_now` gets what the load client says of itself, every few seconds.

    Raises:
        OperationalError: no run came of it, or `out` cannot be written.
    """
    scenario = _written(out / "scenario.toml", scenario_text(settings))
    words = ["load", "--scenario", str(scenario), "--server-url", url, "--out", str(out)]
    command = [*enter, sys.executable, "-m", "scalechat", *words]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell_when_begun, out, begun)
        returncode, last = await _run(command, say_now)
        nursery.cancel_scope.cancel()
    if returncode in (1, 2):
        raise OperationalError(f"the experiment's load did not run: {last}")
    try:
        (run_dir,) = _runs_in(out)
    except (OSError, ValueError) as error:
        raise OperationalError(f"the experiment's load left no run in {out}") from error
    return run_dir


async def _run(command: list[str], say_now: Callable[[str], object]) -> tuple[int, str]:
    """The exit code of a command, and the last line it said; its verdict on stdout is in its run directory as well."""
    last = b""
    said, talk = os.pipe()
    async with trio.lowlevel.FdStream(said) as lines, trio.open_nursery() as nursery:
        try:
            run = partial(trio.run_process, command, check=False, stdout=subprocess.DEVNULL, stderr=talk)
            process: trio.Process = await nursery.start(partial(run, env=own_environment()))
        finally:
            os.close(talk)  # the command has its own, and when it ends, so do the lines
        rest = b""
        async for chunk in lines:
            *whole, rest = (rest + chunk).split(b"\n")
            for last in filter(None, whole):
                say_now(last.decode(errors="replace"))
        await process.wait()
    assert process.returncode is not None
    return process.returncode, (rest or last).decode(errors="replace")


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
