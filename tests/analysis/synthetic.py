"""Runs with known answers, written with the real writer: no server and no load was needed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalechat.load.histogram import Histogram
from scalechat.load.results import (
    ConfigValue,
    ConnectionRow,
    ErrorRow,
    EventRow,
    Figure,
    HealthRow,
    HistogramRow,
    Ledger,
    Manifest,
    Objective,
    Phase,
    Reason,
    RunWriter,
    ServerRow,
    Summary,
    Target,
    TimeseriesRow,
    Tool,
    Validity,
    Worker,
)

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
RAMP_S, WARMUP_S, DRAIN_S = 2, 3, 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the run is to look like; the defaults are a healthy one."""

    clients: int = 200
    rooms: int = 4
    steady_s: int = 12
    latency_ms: float = 3.0
    server_cores: float = 0.38
    server_waiting: float = 0.0
    """The part of the time that the server is ready to run while others have its core."""
    server_quota: float = 0.0
    server_lag_s: float = 0.001
    generator_cores: float = 0.21
    later_by_place_us: float = 0.0
    """How much later each member hears than the one that joined before it."""
    evicted: int = 0
    turned_away: int = 0
    """So many clients were never let in."""
    away: int = 0
    """So many clients lose their connections at 8 s and are back within 2 s, when they get what they missed."""
    missing: int = 0
    foreign: bool = False
    finished: bool = True
    objective_ms: float | None = 200.0
    invalid: str | None = None
    interrupted: bool = False

    @property
    def phases(self) -> list[Phase]:
        ends, phases = 0, []
        for name, seconds in (
            ("ramp", RAMP_S),
            ("warmup", WARMUP_S),
            ("steady", self.steady_s),
            ("drain", DRAIN_S),
        ):
            phases.append(
                Phase(
                    name=name,
                    kind=name,  # type: ignore[arg-type]
                    start_s=ends,
                    end_s=ends + seconds,
                    measured=name == "steady",
                )
            )
            ends += seconds
        return phases

    def phase_at(self, second: int) -> str:
        """The phase of the window that ends at this second."""
        return next(phase.name for phase in self.phases if second <= phase.end_s)

    @property
    def end_s(self) -> int:
        return int(self.phases[-1].end_s)


def histogram_rows(
    values_ns: Iterable[int], metric: str, second: int, phase: str, worker_id: str = "0"
) -> list[HistogramRow]:
    """The rows that a worker writes for the values it saw in one second."""
    histogram = Histogram()
    histogram.add(np.array(list(values_ns), dtype=np.int64))
    return [
        HistogramRow(
            t_s=float(second),
            dt_s=1.0,
            worker_id=worker_id,
            phase=phase,
            metric=metric,
            bucket_low_ns=low,
            bucket_high_ns=high,
            count=count,
        )
        for low, high, count in histogram.buckets()
    ]


def write_run(out: Path, case: Case | None = None, seed: int = 7) -> Path:
    """Write the run of the case and return its directory."""
    case = case if case is not None else Case()
    rng = random.Random(seed)
    with RunWriter.create(out, run_id=f"run-{seed}") as writer:
        _write_rows(writer, case, rng)
        if case.finished:
            writer.finish(_manifest(writer.run_id, case), _summary(writer.run_id, case))
        return writer.run_dir


def _write_rows(writer: RunWriter, case: Case, rng: random.Random) -> None:
    members = case.clients // case.rooms
    published = opened = 0
    per_client_ns = int(1e9 * RAMP_S / case.clients)
    for number in range(case.clients):
        intended = number * per_client_ns / 1e9
        handshake = int(rng.lognormvariate(math.log(2.5 * MS), 0.4))
        order = number // case.rooms
        writer.append(
            ConnectionRow(
                t_s=intended,
                ts_unix_ns=START_NS + number * per_client_ns,
                worker_id="0",
                phase="ramp",
                connection_id=f"c{number}",
                client_id=f"load-{number}",
                kind="normal",
                room=f"room-{number % case.rooms}",
                join_order=order,
                tcp_ns=200_000,
                handshake_ns=handshake,
                opened_s=None if number < case.turned_away else intended + (200_000 + handshake) / 1e9,
                close_reason="HTTP 503" if number < case.turned_away else None,
                closed_s=8.0 if number < case.away else float(case.end_s),
                close_code=1000,
                closed_by="client",
                received=1000,
                missed=0,
                delivery_p50_ns=int(
                    case.latency_ms * MS + order * 1000 * case.later_by_place_us + rng.gauss(0, 20_000)
                ),
                delivery_p99_ns=int(2.8 * case.latency_ms * MS * rng.uniform(0.9, 1.1)),
                longest_gap_ns=60 * MS,
            )
        )
    for number in range(case.away):
        back_s = 8.0 + 2.0 * (number + 1) / case.away
        writer.append(
            ConnectionRow(
                t_s=back_s,
                ts_unix_ns=START_NS + int(back_s * 1e9),
                worker_id="0",
                phase="steady",
                connection_id=f"d{number}",
                client_id=f"load-{number}",
                kind="normal",
                room=f"room-{number % case.rooms}",
                opened_s=back_s,
                closed_s=float(case.end_s),
                close_code=1000,
                closed_by="client",
                reconnect_of=f"c{number}",
                received=1000,
                missed=0,
            )
        )
    for second in range(1, case.end_s + 1):
        phase = case.phase_at(second)
        wall = START_NS + second * 1_000_000_000
        opened = min(case.clients, round(case.clients * second / RAMP_S))
        sending = phase in {"warmup", "steady"}
        published += case.clients if sending else 0
        slow = 1.6 if phase == "warmup" else 1.0
        delays = [
            int(rng.lognormvariate(math.log(case.latency_ms * slow * MS), 0.45))
            for _ in range(case.clients * 5 if sending else 0)
        ]
        if second == 10:
            delays[: case.away * 5] = [rng.randrange(1, 2000) * MS for _ in range(case.away * 5)]
        for metric, values in (
            ("delivery", delays),
            ("ack_rtt", [int(0.6 * delay) for delay in delays[::5]]),
            ("broadcast_last", [int(1.5 * delay) for delay in delays[::5]]),
            ("send_lag", [rng.randrange(50_000, 400_000) for _ in delays[::5]]),
        ):
            writer.extend(histogram_rows(values, metric, second, phase))
        writer.append(
            TimeseriesRow(
                t_s=float(second),
                ts_unix_ns=wall,
                worker_id="0",
                phase=phase,
                connections_target=opened,
                connections_open=opened - (case.evicted if second > 8 else 0),
                connects_total=opened,
                connect_failures_refused_total=0,
                connect_failures_timeout_total=0,
                connect_failures_rejected_total=0,
                connect_failures_other_total=0,
                disconnects_total=case.evicted if second > 8 else 0,
                reconnects_total=0,
                intended_total=published,
                published_total=published,
                delivered_total=published * members,
                duplicated_total=0,
                reordered_total=0,
                corrupted_total=0,
                rx_bytes_total=published * members * 300,
                tx_bytes_total=published * 300,
                evicted_total=case.evicted if second > 8 else 0,
                errors_total=0,
                expected_total=published * members,
            ),
            HealthRow(
                t_s=float(second),
                ts_unix_ns=wall,
                dt_s=1.0,
                worker_id="0",
                phase=phase,
                cpu_user_s_total=0.8 * case.generator_cores * second,
                cpu_system_s_total=0.2 * case.generator_cores * second,
                loop_lag_p50_ns=rng.randrange(100_000, 200_000),
                loop_lag_p99_ns=rng.randrange(600_000, 1_500_000),
                loop_lag_max_ns=rng.randrange(2_000_000, 4_000_000),
                send_lag_p50_ns=rng.randrange(200_000, 300_000),
                rss_bytes=95_000_000,
                open_fds=case.clients + 20,
            ),
        )
        if not case.foreign:
            writer.extend(_scrape(case, second, phase, wall, rng))
    writer.append(EventRow(t_s=0.0, ts_unix_ns=START_NS, worker_id="0", phase="ramp", kind="phase", detail="ramp"))
    if case.evicted:
        writer.append(
            ErrorRow(
                t_s=8.2,
                ts_unix_ns=START_NS,
                worker_id="0",
                phase="steady",
                kind="closed_4008",
                count=case.evicted,
                last_s=8.9,
                example="too slow; retry after 1234 ms",
            )
        )


def _scrape(case: Case, second: int, phase: str, wall: int, rng: random.Random) -> list[ServerRow]:
    lag_edges = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, math.inf)
    probes = 20 * second
    samples: list[tuple[str, str | None, float]] = [
        ("process_cpu_seconds_total", None, case.server_cores * second),
        ("scalechat_cpu_wait_seconds_total", None, case.server_waiting * second),
        ("scalechat_cpu_quota_cores", None, case.server_quota),
        ("process_resident_memory_bytes", None, 60e6 + 1e5 * min(second, 8)),
        ("process_open_fds", None, case.clients + 15.0),
        ("process_max_fds", None, 20000.0),
        ("scalechat_connections", 'dialect="v1"', float(case.clients)),
        ("scalechat_connections", 'dialect="plain"', 0.0),
        ("scalechat_queue_frames", None, float(rng.randrange(4))),
        ("scalechat_queue_bytes", None, float(rng.randrange(4) * 300)),
        ("scalechat_queue_age_seconds", None, rng.random() * 0.002),
        ("scalechat_gc_pause_seconds_sum", 'generation="2"', 0.002 * second),
        ("scalechat_limit", 'name="max_connections"', 0.0),
    ]
    samples += [
        (
            "scalechat_loop_lag_seconds_bucket",
            f'le="{"+Inf" if math.isinf(edge) else edge}"',
            float(probes if edge >= case.server_lag_s else 0),
        )
        for edge in lag_edges
    ]
    return [
        ServerRow(
            t_s=second + 0.01,
            ts_unix_ns=wall,
            worker_id="0",
            phase=phase,
            metric=metric,
            labels=labels,
            value=value,
            node="127.0.0.1:8080",
        )
        for metric, labels, value in samples
    ]


def _objectives(case: Case) -> list[Objective]:
    if case.objective_ms is None:
        return []
    observed = case.latency_ms * 2.85
    return [
        Objective(
            expression=f"p99(delivery) < {case.objective_ms:g}ms",
            observed=observed,
            bound=case.objective_ms,
            unit="ms",
            ok=observed < case.objective_ms,
        ),
        Objective(
            expression="missing == 0",
            observed=float(case.missing),
            bound=0.0,
            unit="deliveries",
            ok=case.missing == 0,
        ),
    ]


def _validity(case: Case) -> Validity:
    reasons = [Reason(code="generator_cpu", text=case.invalid)] if case.invalid else []
    return Validity(valid=not reasons, reasons=reasons)


def _outcome(case: Case) -> tuple[str, int]:
    if case.interrupted:
        return "interrupted", 105
    if case.invalid:
        return "invalid", 97
    failed = any(not objective.ok for objective in _objectives(case))
    return ("fail", 99) if failed else ("pass", 0)


def _summary(run_id: str, case: Case) -> Summary:
    verdict, code = _outcome(case)
    return Summary(
        run_id=run_id,
        figures={
            "clients": Figure(value=float(case.clients), unit="clients"),
            "rooms": Figure(value=float(case.rooms), unit="rooms"),
        },
        objectives=_objectives(case),
        validity=_validity(case),
        verdict=verdict,  # type: ignore[arg-type]
        exit_code=code,
        interrupted=case.interrupted,
    )


def _manifest(run_id: str, case: Case) -> Manifest:
    verdict, code = _outcome(case)
    published = case.clients * (WARMUP_S + case.steady_s)
    expected = published * (case.clients // case.rooms)
    return Manifest(
        run_id=run_id,
        started_unix_ns=START_NS,
        ended_unix_ns=START_NS + case.end_s * 1_000_000_000,
        tool=Tool(name="scalechat", version="0.1.0", git_commit="0123abc"),
        seed=7,
        config={
            "server_url": ConfigValue(value="ws://127.0.0.1:8080/ws", source="flag --server-url"),
            "clients": ConfigValue(value=case.clients, source="flag --clients"),
            "rooms": ConfigValue(value=case.rooms, source="environment SCALECHAT_ROOMS"),
            "msg_frequency_ms": ConfigValue(value=1000.0, source="default"),
            "duration_s": ConfigValue(value=float(case.steady_s), source="default"),
            "slo": ConfigValue(value=[item.expression for item in _objectives(case)], source="default"),
            "token": ConfigValue(value=None, source="default"),
        },
        phases=case.phases,
        target=Target(
            url="ws://127.0.0.1:8080/ws",
            dialect="plain" if case.foreign else "v1",
            version=None if case.foreign else "0.1.0",
        ),
        workers=[
            Worker(
                worker_id="0",
                host="box",
                pid=4711,
                cpu_model="Example CPU @ 2.0 GHz",
                cpu_count=2,
                cpu_quota_cores=None,
                kernel="Linux 6.1",
                python="3.11.2",
                trio="0.31.0",
            )
        ],
        ledger=Ledger(
            published=published,
            acked=None if case.foreign else published,
            rejected=None if case.foreign else 0,
            unacked=None if case.foreign else 0,
            expected=expected,
            delivered=expected - case.missing,
            missing=case.missing,
            duplicated=0,
            reordered=0,
            corrupted=0,
            phantom=0,
        ),
        validity=_validity(case),
        verdict=verdict,  # type: ignore[arg-type]
        objectives=_objectives(case),
        exit_code=code,
        interrupted=case.interrupted,
    )
