"""What ``python -m scalechat load`` does around a run: signals, progress on stderr, the result on stdout."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import trio
from rich.console import Console

from scalechat.config import LoadConfig, OperationalError
from scalechat.load.display.closing_words import print_next, print_summary
from scalechat.load.display.progress import shown
from scalechat.load.runner import Interruption, RunOutcome, run_load

_HEARD_S: Final = 0.01
"""A signal needs three turns of the loop to be heard."""


def load(config: LoadConfig, sources: Mapping[str, str]) -> int:
    """Carry out a run and return its exit code; see `run_load` for what it raises."""
    if config.rendezvous is not None:
        return trio.run(_meet_and_tell, config, sources)
    outcome = trio.run(load_and_tell, config, sources)
    if not config.json:
        print_next(outcome, Console())
    return outcome.exit_code


async def load_and_tell(config: LoadConfig, sources: Mapping[str, str]) -> RunOutcome:
    """Carry out a run as a person at a terminal sees it. Ctrl-C and SIGTERM end it early, a second one at once."""
    async with interruptible() as interruption, shown(Console(stderr=True), quiet=config.quiet) as watcher:
        outcome = await run_load(config, sources, watcher=watcher, interruption=interruption)
    _tell(config, outcome)
    return outcome


async def _meet_and_tell(config: LoadConfig, sources: Mapping[str, str]) -> int:
    """The same as one instance of several; only instance 0 has an outcome to show."""
    try:
        from scalechat.load.fleet.rendezvous import meet
    except ModuleNotFoundError as error:
        raise OperationalError(
            f"--rendezvous needs the package {error.name}: pip install 'scalechat[redis]'"
        ) from error
    async with interruptible() as interruption, shown(Console(stderr=True), quiet=config.quiet) as watcher:
        outcome = await meet(config, sources, watcher, interruption)
    if isinstance(outcome, RunOutcome):
        _tell(config, outcome)
    elif config.json:
        _print_json({"run_dir": outcome.run_dir, "verdict": outcome.verdict, "exit_code": outcome.exit_code})
    elif not config.quiet:
        line = f"{outcome.verdict}: this was a part of {outcome.run_dir}, on the machine of instance 0"
        Console(stderr=True).print(line, soft_wrap=True, highlight=False)
    return outcome.exit_code


def _tell(config: LoadConfig, outcome: RunOutcome) -> None:
    if config.json:
        _print_json({"run_dir": str(outcome.run_dir), **msgspec.to_builtins(outcome.summary)})
    else:
        print_summary(outcome, Console())


def _print_json(document: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


@asynccontextmanager
async def interruptible() -> AsyncIterator[Interruption]:
    """For the body, Ctrl-C and SIGTERM are requests to end what is under way."""
    # It warns about events it does not know; a foreign server's oddities are counted, not printed.
    logging.getLogger("trio-websocket").addHandler(logging.NullHandler())
    interruption = Interruption()
    async with trio.open_nursery() as nursery:
        await nursery.start(_obey_signals, interruption)
        yield interruption
        # What came while nobody had a turn (a run is written in one go) is heard now: as the signal that it was, it
        # would end the program without a word about the run.
        await trio.sleep(_HEARD_S)
        nursery.cancel_scope.cancel()


async def _obey_signals(interruption: Interruption, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _signal in signals:
            interruption.request()
