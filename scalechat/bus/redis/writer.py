"""What this node gives to Redis: a bounded hand-over, and one batch per shard and round trip.

Theory of operation. A job waits in the queue of its shard and kind. While a queue has jobs one task sends the first of
them as one script call and waits for the answer; meanwhile the next ones gather. So nothing is delayed on purpose, a
quiet bus sends at once, and a busy one sends few large calls. A job leaves its queue when it is answered or nobody
waits for it any more. When an answer is lost, what is still in the queue goes out again, in order: a publish is
recognised by its fingerprint and a statement about presence is absolute, so saying either twice is saying it once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

import trio

from scalechat.bus.base import BusError
from scalechat.bus.redis.calls import AWAY, DEADLINE_S, FULL, Calls
from scalechat.bus.redis.keys import Shard
from scalechat.bus.redis.link import LinkDown, Reply
from scalechat.bus.redis.scripts import Script

WAITING_JOBS: Final = 10_000
WAITING_BYTES: Final = 16 * 2**20
"""Publishes that may wait for Redis, in number and in bytes: two seconds of a busy node, and 16 MiB of what clients
sent. Over that a publisher is told to come back."""
BATCH_JOBS: Final = 128
BATCH_BYTES: Final = 256 * 1024
"""One script call, at most (or one message, if that is larger): 128 messages hold Redis for a millisecond."""


@dataclass(slots=True, eq=False)
class Job:
    """`keys` and `args` are its part of a call; `answer` is its part of the reply."""

    shard: Shard
    keys: tuple[bytes, ...]
    args: tuple[bytes | str | int, ...]
    size_bytes: int = 0
    done: trio.Event | None = field(default_factory=trio.Event)
    """None when nobody waits for it."""
    answer: int = 0
    error: BusError | None = None


class Work(Protocol):
    """What a kind of job is: its script, what a call begins with, and what a reply says."""

    script: Script

    def frame(self, shard: Shard) -> tuple[Sequence[bytes], Sequence[bytes | str | int]]:
        """Keys and arguments that come before those of the jobs."""

    def note(self, shard: Shard, jobs: Sequence[Job], reply: Sequence[Reply] | int) -> None:
        """Give each job its answer."""


class Writer:
    """Jobs of one kind, for all shards. `waiting_jobs` and `waiting_bytes` bound what `submit` lets in."""

    def __init__(
        self,
        work: Work,
        calls: Calls,
        *,
        start_soon: Callable[[Callable[[Shard], Awaitable[None]], Shard], None],
        waiting_jobs: int = WAITING_JOBS,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._work = work
        self._calls = calls
        self._start_soon = start_soon
        self._waiting_jobs = waiting_jobs
        self._waiting_bytes = waiting_bytes
        self._queues: dict[Shard, dict[Job, None]] = {}
        self._emptied = trio.Event()
        self.jobs = 0
        self.bytes = 0

    async def submit(self, job: Job, deadline_s: float = DEADLINE_S) -> int:
        """Have it done and return its answer. Raises `BusError`; then, and when cancelled, it may have been done."""
        if self.jobs >= self._waiting_jobs or self.bytes + job.size_bytes > self._waiting_bytes:
            raise BusError(FULL)
        assert job.done is not None
        self.put(job)
        try:
            with trio.move_on_after(deadline_s):
                await job.done.wait()
        finally:
            self._take_out(job)
        if job.error is not None:
            raise job.error
        if not job.done.is_set():
            raise BusError(AWAY)
        return job.answer

    def put(self, job: Job) -> None:
        """Have it done some time, even if the queue is over its bounds."""
        queue = self._queues.get(job.shard)
        if queue is None:
            queue = self._queues[job.shard] = {}
            self._start_soon(self._serve, job.shard)
        queue[job] = None
        self.jobs += 1
        self.bytes += job.size_bytes

    def forget(self) -> None:
        """Drop what nobody waits for."""
        for queue in self._queues.values():
            for job in [job for job in queue if job.done is None]:
                self._take_out(job)

    async def wait_empty(self) -> None:
        """Wait until everything has been done."""
        while self._queues:
            await self._emptied.wait()

    async def _serve(self, shard: Shard) -> None:
        queue = self._queues[shard]
        while queue:
            await self._calls.link_of(shard).wait_up()
            jobs = _first(queue)
            if not jobs:
                break
            first_keys, first_args = self._work.frame(shard)
            keys, args = list(first_keys), list(first_args)
            for job in jobs:
                keys += job.keys
                args += job.args
            try:
                reply = await self._calls.once(shard, self._work.script, keys, args)
            except LinkDown:
                await self._calls.pause()
                continue
            except BusError as error:
                for job in jobs:
                    job.error = error
            else:
                self._work.note(shard, jobs, reply)
            for job in jobs:
                self._take_out(job)
                if job.done is not None:
                    job.done.set()
        del self._queues[shard]
        if not self._queues:
            self._emptied.set()
            self._emptied = trio.Event()

    def _take_out(self, job: Job) -> None:
        queue = self._queues.get(job.shard)
        if queue is not None and job in queue:
            del queue[job]
            self.jobs -= 1
            self.bytes -= job.size_bytes


def _first(queue: dict[Job, None]) -> list[Job]:
    jobs: list[Job] = []
    size_bytes = 0
    for job in islice(queue, BATCH_JOBS):
        size_bytes += job.size_bytes
        if jobs and size_bytes > BATCH_BYTES:
            break
        jobs.append(job)
    return jobs
