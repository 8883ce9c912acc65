"""All workers asked, and their answers put together: what the supervisor answers to whichever worker was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from scalechat.server.recent import Sample, together
from scalechat.server.site import Connections, SiteError, Stats, largest
from scalechat.server.supervisor.crew import Crew
from scalechat.server.supervisor.questions import (
    WORKER_ANSWERS_S,
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
    worker_at,
)
from scalechat.server.supervisor.totals import Family, Snapshot, Totals, families_of


class Answers:
    """Asks the crew's workers. `redis_restarts` is None where there is no private Redis."""

    def __init__(self, crew: Crew, directory: Path, redis_restarts: Callable[[], int] | None) -> None:
        self._crew = crew
        self._directory = directory
        self._redis_restarts = redis_restarts
        self._totals = Totals()
        crew.ended = self._totals.ended

    async def answer(self, question: Question) -> bytes:
        """The answer for all workers. Raises `SiteError` when none of them answers."""
        answers = await self._ask_all(question)
        match question:
            case AskRecent():
                return msgspec.json.encode(together([decode(answer, list[Sample]) for answer in answers.values()]))
            case AskMetrics():
                snapshots = {worker: decode(answer, Snapshot) for worker, answer in answers.items()}
                return msgspec.json.encode(self._totals.merge(snapshots) + families_of(self._own(snapshots)))
            case AskStats():
                return _stats([decode(a, WorkerStats) for a in answers.values()]).model_dump_json().encode()
            case AskReadiness():
                reasons = [decode(answer, Readiness).why_not for answer in answers.values()]
                return msgspec.json.encode(Readiness(next(filter(None, reasons), None)))
            case AskConnections(sort, limit):
                parts = [Connections.model_validate_json(answer) for answer in answers.values()]
                every = largest((c for part in parts for c in part.connections), sort, limit)
                whole = Connections(total=sum(part.total for part in parts), connections=every)
                return whole.model_dump_json(by_alias=True).encode()
            case AskKick():
                return msgspec.json.encode(Kicked(any(decode(answer, Kicked).found for answer in answers.values())))

    async def _ask_all(self, question: Question) -> dict[int, bytes]:
        answers: dict[int, bytes] = {}

        async def ask_one(worker: int) -> None:
            with suppress(SiteError):
                answers[worker] = await ask(worker_at(self._directory, worker), question, WORKER_ANSWERS_S)

        async with trio.open_nursery() as nursery:
            for worker, child in self._crew.children.items():
                if child.ready.is_set() and not child.over.is_set():
                    nursery.start_soon(ask_one, worker)
        if not answers:
            raise SiteError("no worker answers")
        return answers

    def _own(self, snapshots: Mapping[int, Snapshot]) -> list[Metric]:
        restarts = {worker: told.total for worker, told in self._crew.restarts.items()}
        return own_metrics(restarts, snapshots, None if self._redis_restarts is None else self._redis_restarts())


def own_metrics(
    restarts: Mapping[int, int], snapshots: Mapping[int, Snapshot], redis_restarts: int | None
) -> list[Metric]:
    """What only the supervisor knows, and each worker's part of the whole; `restarts` by worker."""
    up = GaugeMetricFamily("scalechat_worker_up", "1 for a worker that answers.", labels=["worker"])
    again = CounterMetricFamily("scalechat_worker_restarts", "Starts but for the first.", labels=["worker"])
    connections = GaugeMetricFamily("scalechat_worker_connections", "Open WebSockets.", labels=["worker"])
    cpu_s = CounterMetricFamily(
        "scalechat_worker_cpu_seconds", "CPU time of its present process, user and system.", labels=["worker"]
    )
    for worker, total in restarts.items():
        label = [str(worker)]
        snapshot = snapshots.get(worker)
        up.add_metric(label, int(snapshot is not None))
        again.add_metric(label, total)
        if snapshot is not None:
            connections.add_metric(label, _sum_of(snapshot.families, "scalechat_connections", but={"dialect": "http"}))
            cpu_s.add_metric(label, _sum_of(snapshot.families, "process_cpu_seconds"))
    own: list[Metric] = [up, again, connections, cpu_s]
    if redis_restarts is not None:
        text = "Starts of the private redis-server but for the first; only where there is one."
        own.append(CounterMetricFamily("scalechat_private_redis_restarts", text, value=redis_restarts))
    return own


def _sum_of(families: list[Family], name: str, but: Mapping[str, str] | None = None) -> float:
    samples = [sample for family in families if family.name == name for sample in family.samples]
    return sum(value for _, labels, value in samples if labels != but)


def _stats(told: list[WorkerStats]) -> Stats:
    every = [Stats.model_validate_json(bytes(one.stats)) for one in told]
    return Stats(
        connections=sum(s.connections for s in every),
        rooms=len({room for one in told for room in one.rooms}),
        publications_total=sum(s.publications_total for s in every),
        deliveries_total=sum(s.deliveries_total for s in every),
        publications_per_s=round(sum(s.publications_per_s for s in every), 1),
        deliveries_per_s=round(sum(s.deliveries_per_s for s in every), 1),
        loop_lag_p99_ms=max(s.loop_lag_p99_ms for s in every),
        queue_bytes=sum(s.queue_bytes for s in every),
        cpu_ratio=round(sum(s.cpu_ratio for s in every), 4),
        rss_bytes=sum(s.rss_bytes for s in every),
        uptime_s=max(s.uptime_s for s in every),
        draining=any(s.draining for s in every),
    )
