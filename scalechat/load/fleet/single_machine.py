"""``--processes``: a run of several processes on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from scalechat.config import LoadConfig
from scalechat.load.conclusion import RunOutcome
from scalechat.load.ending import Interruption
from scalechat.load.fleet.coordinator import Coordinator
from scalechat.load.fleet.processes import started
from scalechat.load.live import Audience
from scalechat.load.pacing import NowNs
from scalechat.load.plan import Share
from scalechat.load.results import RunWriter
from scalechat.load.setting_out import assign


async def run_processes(
    config: LoadConfig, sources: Mapping[str, str], watcher: Audience, interruption: Interruption, clock: NowNs
) -> RunOutcome:
    """Like `scalechat.load.runner.run_load`, with `config.processes` workers."""
    # Any share of so many: the coordinator plays none of them.
    todo = await assign(config, sources, interruption, share=Share(0, config.processes))
    watcher.wait(f"starting {config.processes} load processes")
    with RunWriter.create(config.out) as writer:
        async with started(config.processes) as peers:
            return await Coordinator(todo, writer, peers, watcher, interruption, clock).carry_out()
