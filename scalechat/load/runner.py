"""From a configuration to a run that is written: check, greet the server, carry out."""

from __future__ import annotations

from collections.abc import Mapping

from scalechat.config import LoadConfig
from scalechat.load.company import Alone
from scalechat.load.conclusion import RunOutcome, conclude
from scalechat.load.connector import Connector
from scalechat.load.ending import Interruption
from scalechat.load.failures import told_in
from scalechat.load.fleet.single_machine import run_processes
from scalechat.load.live import WRITING, Audience, Nobody
from scalechat.load.pacing import NowNs, monotonic_ns
from scalechat.load.results import RunWriter
from scalechat.load.run import Run
from scalechat.load.setting_out import assign

__all__ = ["Interruption", "RunOutcome", "run_load"]


async def run_load(
    config: LoadConfig,
    sources: Mapping[str, str],
    *,
    watcher: Audience | None = None,
    interruption: Interruption | None = None,
    connector: Connector | None = None,
    clock: NowNs = monotonic_ns,
) -> RunOutcome:
    """Carry out one run and write its directory.

    Args:
        config: what to do.
        sources: where each value of it came from, for the manifest.
        watcher: is told what goes on, each second.
        interruption: ends the run early when asked; it is written all the same.
        connector: makes the connections; over TCP unless given, and only then the server's metrics are scraped.
        clock: monotonic ns, in step with Trio's clock.

    Raises:
        UsageError: the configuration cannot be carried out; nothing was connected or written.
        OperationalError: there is no server to load (nothing was written), or the run directory cannot be written.
    """
    interruption, watcher = interruption or Interruption(), watcher or Nobody()
    try:
        watcher.begin(config)
        if config.processes > 1:
            return await run_processes(config, sources, watcher, interruption, clock)
        todo = await assign(config, sources, interruption, connector)
        with RunWriter.create(config.out) as writer:
            part = await Run(todo, writer, watcher, interruption, Alone(), clock).carry_out()
            watcher.wait(WRITING)
            return conclude(writer, todo, [part])
    except BaseExceptionGroup as group:
        # The only place that unpacks groups: a full disk met by a task of the run is one line for a person.
        raise told_in(group) or group from None
