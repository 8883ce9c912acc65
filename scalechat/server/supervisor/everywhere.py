"""All workers behind the port as one site: what a worker's HTTP handlers ask, and what a worker answers for itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from prometheus_client.metrics_core import Metric

from scalechat.server.recent import Sample
from scalechat.server.site import Connections, Here, SiteError, SortConnections, Stats
from scalechat.server.supervisor.questions import (
    SUPERVISOR_ANSWERS_S,
    Answer,
    AskConnections,
    AskKick,
    AskMetrics,
    AskReadiness,
    AskRecent,
    AskStats,
    Kicked,
    Question,
    Readiness,
    WorkerStats,
    ask,
    decode,
)
from scalechat.server.supervisor.totals import Family, Snapshot, families_of, metrics_of


class Everywhere:
    """`scalechat.server.site.Site` of all workers. Whichever is asked asks the supervisor, which asks all."""

    def __init__(self, supervisor: Path, *, knows_all_nodes: bool) -> None:
        self._supervisor = supervisor
        self.knows_all_nodes = knows_all_nodes

    async def families(self) -> Iterable[Metric]:
        return metrics_of(decode(await self._ask(AskMetrics()), list[Family]))

    async def stats(self) -> Stats:
        return Stats.model_validate_json(await self._ask(AskStats()))

    async def recent(self, since_unix_s: int) -> list[Sample]:
        # With the second before, since a worker that has no sample for a second counts with its last one.
        found = decode(await self._ask(AskRecent(since_unix_s - 1)), list[Sample])
        return [sample for sample in found if sample.unix_s > since_unix_s]

    async def not_ready(self) -> str | None:
        try:
            return decode(await self._ask(AskReadiness()), Readiness).why_not
        except SiteError as error:
            return str(error)

    async def connections(self, sort: SortConnections, limit: int) -> Connections:
        return Connections.model_validate_json(await self._ask(AskConnections(sort, limit)))

    async def kick(self, session_id: str) -> bool:
        return decode(await self._ask(AskKick(session_id)), Kicked).found

    async def _ask(self, question: Question) -> bytes:
        return await ask(self._supervisor, question, SUPERVISOR_ANSWERS_S)


def answer_for(here: Here) -> Answer:
    """What one worker tells of itself."""

    async def answer(question: Question) -> bytes:
        match question:
            case AskMetrics():
                return msgspec.json.encode(Snapshot(families_of(await here.families()), here.rooms))
            case AskStats():
                stats = msgspec.Raw((await here.stats()).model_dump_json().encode())
                return msgspec.json.encode(WorkerStats(stats, here.rooms))
            case AskRecent(since_unix_s):
                return msgspec.json.encode(await here.recent(since_unix_s))
            case AskReadiness():
                return msgspec.json.encode(Readiness(await here.not_ready()))
            case AskConnections(sort, limit):
                return (await here.connections(sort, limit)).model_dump_json(by_alias=True).encode()
            case AskKick(session_id):
                return msgspec.json.encode(Kicked(await here.kick(session_id)))

    return answer
