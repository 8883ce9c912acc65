"""What a process has to say of its run when that is over: its `Part`, from everything that measured meanwhile."""

from __future__ import annotations

import os
import platform

import trio

from scalechat.load.ending import Ending
from scalechat.load.failures import OWN
from scalechat.load.health import cpu_model, cpu_quota_cores
from scalechat.load.instruments import Instruments
from scalechat.load.measurement import Measurement
from scalechat.load.part import Part, Unseen
from scalechat.load.publishing import Publishing
from scalechat.load.recorder import Recorder
from scalechat.load.results import Ledger, Worker
from scalechat.load.verdict import Facts


def own_part(
    instruments: Instruments,
    measurement: Measurement,
    publishing: Publishing | None,
    ending: Ending,
    *,
    interrupted: bool,
    ended_ns: int,
) -> Part:
    """After `Instruments.finish`. `publishing`: None when the run ended before anybody was to publish."""
    recorder, timeline, observer = instruments.recorder, instruments.timeline, instruments.observer
    counters, course = recorder.counters, recorder.plan.course
    failures, kinds = counters.connect_failures, instruments.errors.kinds
    blamed = [f"connect_{kind}" for kind in (OWN, *failures)]
    return Part(
        worker=this_worker(recorder.plan.share.index),
        facts=Facts(
            interrupted=interrupted,
            completed=not ending.is_early,
            why_not=ending.why,
            cpu_ratio=measurement.cpu_ratio,
            cpu_wait_ratio=measurement.cpu_wait_ratio,
            loop_lag_p99_ns=instruments.health.lag_p99_ns,
            send_lag_p50_ns=recorder.windows.merged("send_lag", course.measured).quantile_ns(0.5),
            intended=0 if publishing is None else publishing.intended,
            in_time=0 if publishing is None else publishing.in_time,
            late=0 if publishing is None else publishing.late,
            failed_dials=sum(failures.values()),
            never_came=sum(client.never_came and client.failure is not None for client in instruments.clients),
            own_failures=failures.get(OWN, 0),
            failure_example=next((kinds[kind].example for kind in blamed if kind in kinds), None),
        ),
        steady=measurement.steady(peak_clients=instruments.journal.peak_open, observer=observer),
        ledger=_ledger(recorder),
        counted={
            "evicted": counters.evicted,
            "disconnects": counters.disconnects,
            "connect_failures": sum(failures.values()),
            "errors": instruments.errors.total,
        },
        totals=recorder.windows.totals,
        stretches=instruments.journal.stretches,
        started_unix_ns=timeline.unix_ns(timeline.start_ns),
        ended_unix_ns=timeline.unix_ns(ended_ns),
        phases=timeline.phases(ended_ns),
        measured=sorted(course.measured),
        target_version=None if observer is None else observer.version,
        target_config={} if observer is None else observer.stated,
        unseen=[Unseen(*stretch) for stretch in recorder.roll.unseen()],
    )


def this_worker(index: int) -> Worker:
    """This process and its machine."""
    system = platform.uname()
    return Worker(
        worker_id=str(index),
        host=system.node,
        pid=os.getpid(),
        cpu_model=cpu_model(),
        cpu_count=os.cpu_count() or 1,
        cpu_quota_cores=cpu_quota_cores(),
        kernel=f"{system.system} {system.release}",
        python=platform.python_version(),
        trio=trio.__version__,
        clock_offset_ns=0,
        clock_error_ns=0,
    )


def _ledger(recorder: Recorder) -> Ledger:
    """What happened to every message, over all phases; after the last window."""
    counters, acknowledged = recorder.counters, recorder.acknowledged
    return Ledger(
        published=counters.published,
        acked=counters.acked if acknowledged else None,
        rejected=counters.rejected if acknowledged else None,
        unacked=counters.published - counters.acked - counters.rejected if acknowledged else None,
        expected=counters.expected,
        delivered=counters.delivered,
        missing=recorder.missing,
        duplicated=counters.duplicated,
        reordered=counters.reordered,
        corrupted=counters.corrupted,
        phantom=counters.phantom,
        early=counters.early,
        unknown_frames=counters.unknown_frames,
        refused_delivered=recorder.broadcasts.refused_delivered + recorder.roll.refused_delivered_elsewhere,
    )
