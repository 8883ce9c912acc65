"""What this node gives to Redis: a bounded hand-over, and one batch per round trip.

Theory of operation. A job waits in the queue of its shard. One task per connection takes the first jobs of all its
shards, one script call for each shard, writes them at once and waits for the answers; meanwhile the next ones gather.
A quiet bus sends at once; a busy one at every tick (`pace`), because a round trip costs the same for one message as for
many. A job leaves its queue when it is answered or nobody waits for it any more. When an answer is lost, what is still
in the queue goes out again, in order: a publish is recognised by its fingerprint and a statement about presence is
absolute, so saying either twice is saying it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

import trio

from scalechat.bus.base import BusError
from scalechat.bus.redis.calls import AWAY, DEADLINE_S, FULL, Calls
from scalechat.bus.redis.keys import Shard
from scalechat.bus.redis.link import Command, Link, LinkDown, Reply
from scalechat.bus.redis.pace import wait_tick
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
        waiting_jobs: int = WAITING_JOBS,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._work = work
        self._calls = calls
        self._waiting_jobs = waiting_jobs
        self._waiting_bytes = waiting_bytes
        self._queues: dict[Shard, dict[Job, None]] = {}
        self._came: dict[Link, trio.Event] = {}
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
        self._queues.setdefault(job.shard, {})[job] = None
        self.jobs += 1
        self.bytes += job.size_bytes
        came = self._came.get(self._calls.link_of(job.shard))
        if came is not None:
            came.set()

    def moved(self) -> None:
        """Shards are elsewhere than before."""
        for came in self._came.values():
            came.set()

    def forget(self) -> None:
        """Drop what nobody waits for."""
        for job in [job for queue in self._queues.values() for job in queue if job.done is None]:
            self._take_out(job)

    async def wait_empty(self) -> None:
        """Wait until everything has been done."""
        while self.jobs:
            await self._emptied.wait()

    async def serve(self, link: Link, lane: Link) -> None:
        """Do the jobs of the shards that `link` leads to, over `lane`, to the same Redis, until cancelled."""
        began_s = 0.0
        came = self._came[link] = trio.Event()
        while True:
            await lane.wait_up()
            batches = self._batches(link)
            if not batches:
                await came.wait()
                came = self._came[link] = trio.Event()
                await wait_tick(began_s)
                continue
            began_s = trio.current_time()
            calls = [self._call(shard, jobs) for shard, jobs in batches]
            try:
                replies = await self._calls.all_once(link, calls, lane)
            except LinkDown:
                await self._calls.pause()
                continue
            for (shard, jobs), reply in zip(batches, replies, strict=True):
                self._finish(shard, jobs, reply)
            if any(isinstance(reply, LinkDown) for reply in replies):
                await self._calls.pause()
            elif self._queues:
                await wait_tick(began_s)

    def _batches(self, link: Link) -> list[tuple[Shard, list[Job]]]:
        return [(shard, _first(queue)) for shard, queue in self._queues.items() if self._calls.link_of(shard) is link]

    def _call(self, shard: Shard, jobs: Sequence[Job]) -> Command:
        first_keys, first_args = self._work.frame(shard)
        keys, args = list(first_keys), list(first_args)
        for job in jobs:
            keys += job.keys
            args += job.args
        return (b"EVALSHA", self._work.script.sha, len(keys), *keys, *args)

    def _finish(self, shard: Shard, jobs: Sequence[Job], reply: Reply | BusError | LinkDown) -> None:
        if isinstance(reply, LinkDown):
            return  # They stay where they are.
        if isinstance(reply, BusError):
            for job in jobs:
                job.error = reply
        else:
            assert isinstance(reply, list | int)
            self._work.note(shard, jobs, reply)
        for job in jobs:
            self._take_out(job)
            if job.done is not None:
                job.done.set()

    def _take_out(self, job: Job) -> None:
        queue = self._queues.get(job.shard, {})
        if job in queue:
            del queue[job]
            self.jobs -= 1
            self.bytes -= job.size_bytes
            if not queue:
                del self._queues[job.shard]
            if not self.jobs:
                self._emptied.set()
                self._emptied = trio.Event()


def _first(queue: dict[Job, None]) -> list[Job]:
    jobs: list[Job] = []
    size_bytes = 0
    for job in islice(queue, BATCH_JOBS):
        size_bytes += job.size_bytes
        if jobs and size_bytes > BATCH_BYTES:
            break
        jobs.append(job)
    return jobs
