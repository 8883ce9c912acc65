"""From a configuration to an assignment: check, look the address up, greet the server."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio

from scalechat.client.tls import tls_context
from scalechat.config import LoadConfig, OperationalError
from scalechat.load.assignment import Assignment
from scalechat.load.connector import Connector, TcpConnector
from scalechat.load.dialects import Dialect, Names, Plain, ScaleChatV1
from scalechat.load.ending import Interruption
from scalechat.load.plan import EVERYTHING, Plan, Share
from scalechat.load.preflight import greet, ports_warning, require_files
from scalechat.load.results import Scalar
from scalechat.load.scrape import MetricsPage
from scalechat.load.slo import parse_slo
from scalechat.load.template import ByTemplate
from scalechat.load.verdict import EXIT_INTERRUPTED


async def assign(
    config: LoadConfig,
    sources: Mapping[str, str],
    interruption: Interruption,
    connector: Connector | None = None,
    *,
    seed: int | None = None,
    run: int | None = None,
    share: Share = EVERYTHING,
    is_first: bool = True,
) -> Assignment:
    """What a process is to do.

    Args:
        config: the settings.
        sources: where each of them came from.
        interruption: gives up, as nothing is under way yet.
        connector: makes the connections; over TCP unless given.
        seed: the plan's, when it is given by others.
        run: the run's 32 bits, when they are given by others.
        share: the part of the plan.
        is_first: greet the server and look for its metrics; others do it otherwise.

    Raises:
        UsageError: the configuration cannot be carried out.
        OperationalError: there is no server to load, or the interruption was asked for.
    """
    slos = tuple(parse_slo(expression) for expression in config.slo)
    drawn = secrets.randbits(63) if config.seed is None else config.seed
    plan = Plan.of(config, drawn if seed is None else seed, share)
    dialect = _dialect_of(config)
    names = Names.of(config, secrets.randbits(32) if run is None else run)
    stated: Mapping[str, Scalar] = {}
    page = warning = None
    async with unless_asked(interruption):
        if connector is None:
            require_files(len(plan.mine()))
            tls = _trust(config)
            connector = await TcpConnector.resolve(config.server_url, tls, config.clients_per_address)
            page = MetricsPage.of(config.server_url, tls) if share.index == 0 else None
            if config.rendezvous is not None or share.index == 0:
                here = config.clients if config.rendezvous is None else len(plan.mine())
                warning = ports_warning(connector, here)
        if is_first:
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
        warning=warning,
    )


def greeter(config: LoadConfig) -> Callable[[], Awaitable[None]]:
    """Something that connects to the target once and leaves again; raises `OperationalError` where it cannot."""
    dialect, names = _dialect_of(config), Names.of(config, secrets.randbits(32))

    tls = _trust(config)

    async def hello() -> None:
        connector = await TcpConnector.resolve(config.server_url, tls)
        await greet(connector, dialect, names, config)

    return hello


def _trust(config: LoadConfig) -> ssl.SSLContext | None:
    secure = urlsplit(config.server_url).scheme == "wss"
    return tls_context(config.ca_file, insecure=config.insecure) if secure else None


def _dialect_of(config: LoadConfig) -> Dialect:
    if config.template is not None:
        return ByTemplate(config.template)
    return Plain() if config.target == "plain" else ScaleChatV1()


@asynccontextmanager
async def unless_asked(interruption: Interruption) -> AsyncIterator[None]:
    """Give up the body when the interruption is asked for: nothing is under way that would have to be written."""
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await interruption.asked.wait()
            raise OperationalError("interrupted before the first connection: nothing was written", EXIT_INTERRUPTED)

        nursery.start_soon(watch)
        yield
        nursery.cancel_scope.cancel()
