"""``experiment list``, ``NAME…`` or ``all``: play them one by one, whatever becomes of each, and say what was seen."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import trio
from rich.console import Console

from scalechat.analysis.experiment import PlayedExperiment
from scalechat.config import ExperimentConfig, OperationalError, UsageError, told_to_the_user
from scalechat.experiment.catalogue import catalogue, chosen
from scalechat.experiment.play import play
from scalechat.experiment.saying import Saying
from scalechat.experiment.spec import Experiment
from scalechat.experiment.telling import Tried, details, listing, summary, summary_json

EXIT_NOT_SEEN: Final = 99
EXIT_INTERRUPTED: Final = 105
Player = Callable[[str, Experiment], Awaitable[PlayedExperiment]]


def experiment(config: ExperimentConfig) -> int:
    """Do what the command says and return the exit code."""
    known = catalogue()
    if config.names == ("list",):
        Console().print(listing(chosen(["all"], known)))
        return 0
    wanted = chosen(config.names, known)
    if config.docs is not None and not config.docs.is_dir():  # before anybody waits for an experiment
        raise UsageError(f"--docs {config.docs} is no folder")
    tried: list[Tried] = []
    # A person reads both; a program that wants JSON has standard output for itself.
    console = Console(stderr=config.json)
    saying = Saying(Console(stderr=True))

    def show(one: Tried) -> None:
        tried.append(one)
        saying.over()
        if one.played is not None:
            console.print(details(one.played))

    async def player(name: str, one: Experiment) -> PlayedExperiment:
        played = PlayedExperiment(*await play(name, one, config.out, saying.line, saying.now))
        played.write_beside()
        if config.docs is not None:
            saying.line(str(played.write_into(config.docs)))
        return played

    interrupted = trio.run(_until_interrupted, wanted, player, show, saying)
    if len(wanted) > 1:
        console.print(summary(tried))
    if config.json:
        print(summary_json(tried, interrupted=interrupted))
    if interrupted:
        print(f"scalechat: interrupted after {len(tried)} of {len(wanted)} experiments", file=sys.stderr)
    return exit_code(tried, interrupted=interrupted)


def exit_code(tried: Iterable[Tried], *, interrupted: bool) -> int:
    """Of several that went wrong the first; an interruption comes before all of them."""
    if interrupted:
        return EXIT_INTERRUPTED
    return next((one.exit_code or EXIT_NOT_SEEN for one in tried if not one.succeeded), 0)


async def play_each(
    wanted: Iterable[tuple[str, Experiment]], player: Player, show: Callable[[Tried], object], saying: Saying
) -> None:
    """Play one after the other; what the surroundings did to one does not keep the others from being played."""
    for name, one in wanted:
        saying.title(one.number, one.title)
        began_s = trio.current_time()
        played, failure = None, None
        try:
            played = await player(name, one)
        except (OperationalError, BaseExceptionGroup) as error:
            told = told_to_the_user(error)
            if not isinstance(told, OperationalError):
                raise
            failure = told
            saying.line(f"could not run: {failure}")
        show(Tried(name, one, trio.current_time() - began_s, played, failure))


async def _until_interrupted(
    wanted: Iterable[tuple[str, Experiment]], player: Player, show: Callable[[Tried], object], saying: Saying
) -> bool:
    """Whether Ctrl-C (or SIGTERM) ended it. The stage of the one that was being played is taken down in order."""
    interrupted = False
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            nonlocal interrupted
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    interrupted = True
                    nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        await play_each(wanted, player, show, saying)
        nursery.cancel_scope.cancel()
    return interrupted
