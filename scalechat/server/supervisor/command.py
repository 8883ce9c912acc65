"""The nurseries of a server of several workers, and the order in which it goes away.

bus         the private redis-server, if there is one     first to start, cancelled last
└ answers   questions of workers about all of them
  └ crew    one task a worker, process after process      ended by one drain for all
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from scalechat.config import ServeConfig
from scalechat.server.app import Bound, bind_or_tell, stop_signals
from scalechat.server.log import configure_logging
from scalechat.server.supervisor.answers import Answers
from scalechat.server.supervisor.crew import Crew
from scalechat.server.supervisor.questions import listen_at, serve_answers, supervisor_at
from scalechat.server.supervisor.redis import PrivateRedis, find_redis_server
from scalechat.values import redact_url

LONGEST_DIRECTORY = 80
"""A Unix socket's path has at most 104 to 108 bytes, and ours has 16 after the directory's."""

log = structlog.get_logger("scalechat.server")


async def supervise(
    config: ServeConfig, *, ends_process: bool = False, task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED
) -> None:
    """`scalechat.server.app.serve` with ``config.workers`` processes: same signals, same end, same errors.

    Also raises `OperationalError` when a worker or the private redis-server cannot be started, or when it could not be
    started again several times in a row; the other workers are drained first.
    """
    configure_logging(config.log_format, config.log_level)
    private = config.bus == "memory"
    binary = find_redis_server() if private else ""
    port = _reserve_port(config)
    bound = Bound(config.host, port)
    with _directory() as directory, stop_signals(ends_process=ends_process) as stops:
        redis = PrivateRedis(binary, directory)
        crew = Crew(
            config,
            bus=redis.url if private else config.bus,
            directory=directory,
            knows_all_nodes=private,
            open_sockets=lambda: bind_or_tell(replace(config, port=port), shared=True),
        )
        answers = Answers(crew, directory, (lambda: redis.restarts.total) if private else None)
        async with trio.open_nursery() as bus:
            if private:
                await bus.start(redis.run)
            async with trio.open_nursery() as asked:
                asked.start_soon(serve_answers, listen_at(supervisor_at(directory)), answers.answer)
                async with trio.open_nursery() as working:
                    if await _first(lambda: working.start(crew.run), lambda: anext(stops)) == 0:
                        log.info(
                            "listening",
                            url=bound.http_url,
                            workers=config.workers,
                            fanout=config.fanout,
                            bus="private redis-server" if private else redact_url(config.bus),
                        )
                        task_status.started(bound)
                        await _first(lambda: anext(stops), crew.failed.wait)
                        log.info("draining workers", workers=config.workers, drain_s=config.drain_s)
                        if await _first(crew.drain, lambda: anext(stops)) == 1:
                            await crew.hurry()
                    working.cancel_scope.cancel()
                asked.cancel_scope.cancel()
            bus.cancel_scope.cancel()
    log.info("stopped")
    if crew.failure is not None:
        raise crew.failure


async def _first(*waits: Callable[[], Awaitable[object]]) -> int:
    """Which of `waits` was over first; the others are cancelled."""
    over: list[int] = []

    async def wait(number: int) -> None:
        await waits[number]()
        over.append(number)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(len(waits)):
            nursery.start_soon(wait, number)
    return over[0]


def _reserve_port(config: ServeConfig) -> int:
    """A port that nobody else has: shared sockets alone would not notice another server of several workers."""
    sockets = bind_or_tell(config)
    port: int = sockets[0].getsockname()[1]
    for sock in sockets:
        sock.close()
    return port


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory for sockets that only this user may enter; gone afterwards."""
    usual = tempfile.gettempdir()
    parent = usual if len(usual) < LONGEST_DIRECTORY else "/tmp"
    with tempfile.TemporaryDirectory(prefix="scalechat-", dir=parent, ignore_cleanup_errors=True) as directory:
        yield Path(directory)
