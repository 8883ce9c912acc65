"""From a configuration to a run that is written: check, greet the server, carry out."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from scalechat.config import LoadConfig, OperationalError, ScaleChatError
from scalechat.load.assignment import Assignment
from scalechat.load.company import Alone
from scalechat.load.conclusion import RunOutcome, conclude
from scalechat.load.connector import Connector, TcpConnector, leaves
from scalechat.load.dialects import Dialect, Names, Plain, ScaleChatV1
from scalechat.load.ending import Interruption
from scalechat.load.live import Nobody, Watcher
from scalechat.load.pacing import NowNs, monotonic_ns
from scalechat.load.plan import Plan
from scalechat.load.preflight import greet, require_files
from scalechat.load.results import RunWriter
from scalechat.load.run import Run
from scalechat.load.scrape import MetricsPage
from scalechat.load.slo import parse_slo
from scalechat.load.template import ByTemplate
from scalechat.load.verdict import EXIT_INTERRUPTED

__all__ = ["Interruption", "RunOutcome", "greeter", "run_load"]


async def run_load(
    config: LoadConfig,
    sources: Mapping[str, str],
    *,
    watcher: Watcher | None = None,
    interruption: Interruption | None = None,
    connector: Connector | None = None,
    clock: NowNs = monotonic_ns,
) -> RunOutcome:
    """Carry out one run and write its directory.

    Args:
        config: what to do.
        sources: where each value of it came from, for the manifest.
        watcher: gets a snapshot each second.
        interruption: ends the run early when asked; it is written all the same.
        connector: makes the connections; over TCP unless given, and only then the server's metrics are scraped.
        clock: monotonic ns, in step with Trio's clock.

    Raises:
        UsageError: the configuration cannot be carried out; nothing was connected or written.
        OperationalError: there is no server to load (nothing was written), or the run directory cannot be written.
    """
    interruption = interruption or Interruption()
    try:
        todo = await _assign(config, sources, interruption, connector)
        with RunWriter.create(config.out) as writer:
            part = await Run(todo, writer, watcher or Nobody(), interruption, Alone(), clock).carry_out()
            return conclude(writer, todo, [part])
    except BaseExceptionGroup as group:
        # The only place that unpacks groups: a full disk met by a task of the run is one line for a person.
        for error in leaves(group):
            if isinstance(error, ScaleChatError):
                raise error from None
        raise


def greeter(config: LoadConfig) -> Callable[[], Awaitable[None]]:
    """Something that connects to the target once and leaves again; raises `OperationalError` where it cannot."""
    dialect, names = _dialect_of(config), Names.of(config, secrets.randbits(32))

    async def hello() -> None:
        connector = await TcpConnector.resolve(config.server_url)
        await greet(connector, dialect, names, config)

    return hello


async def _assign(
    config: LoadConfig, sources: Mapping[str, str], interruption: Interruption, connector: Connector | None
) -> Assignment:
    slos = tuple(parse_slo(expression) for expression in config.slo)
    plan = Plan.of(config, secrets.randbits(63) if config.seed is None else config.seed)
    dialect, names = _dialect_of(config), Names.of(config, secrets.randbits(32))
    page = None
    async with _unless_asked(interruption):
        if connector is None:
            require_files(config.clients)
            connector = await TcpConnector.resolve(config.server_url)
            page = MetricsPage.of(config.server_url)
        stated = await greet(connector, dialect, names, config)
    return Assignment(
        config=config,
        sources=sources,
        plan=plan,
        slos=slos,
        dialect=dialect,
        names=names,
        connector=connector,
        page=page,
        stated=stated,
    )


def _dialect_of(config: LoadConfig) -> Dialect:
    if config.template is not None:
        return ByTemplate(config.template)
    return Plain() if config.target == "plain" else ScaleChatV1()


@asynccontextmanager
async def _unless_asked(interruption: Interruption) -> AsyncIterator[None]:
    """Give up the body when the interruption is asked for: nothing is under way that would have to be written."""
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await interruption.asked.wait()
            raise OperationalError("interrupted before the first connection: nothing was written", EXIT_INTERRUPTED)

        nursery.start_soon(watch)
        yield
        nursery.cancel_scope.cancel()
