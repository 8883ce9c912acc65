"""What the processes behind one port ask each other: one question a connection, over Unix sockets.

A connection of its own for each question needs no numbering of answers, and a question that is given up leaves nothing
behind on it. The sockets lie in a directory that only this user may enter.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from scalechat.server.site import SiteError, SortConnections

QUESTION_BYTES = 4096
ANSWER_BYTES = 64 * 2**20
"""More than the room names of a million rooms: an end to what a broken process can make us keep."""
WORKER_ANSWERS_S = 1.0
"""A worker whose loop stands still for so long is left out of the answer."""
SUPERVISOR_ANSWERS_S = 3.0
"""It waits for its workers, and is itself never busy."""


class AskMetrics(msgspec.Struct, tag="metrics", frozen=True):
    pass


class AskStats(msgspec.Struct, tag="stats", frozen=True):
    pass


class AskRecent(msgspec.Struct, tag="recent", frozen=True):
    since_unix_s: int


class AskReadiness(msgspec.Struct, tag="readiness", frozen=True):
    pass


class AskConnections(msgspec.Struct, tag="connections", frozen=True):
    sort: SortConnections
    limit: int


class AskKick(msgspec.Struct, tag="kick", frozen=True):
    session_id: str


Question = AskMetrics | AskStats | AskRecent | AskReadiness | AskConnections | AskKick


class Readiness(msgspec.Struct, frozen=True):
    why_not: str | None


class Kicked(msgspec.Struct, frozen=True):
    found: bool


class WorkerStats(msgspec.Struct, frozen=True):
    """`stats` is the JSON of a `Stats`; `rooms` are names, since one room may have members in several workers."""

    stats: msgspec.Raw
    rooms: list[str]


def supervisor_at(directory: Path) -> Path:
    """Where the supervisor answers."""
    return directory / "supervisor.sock"


def worker_at(directory: Path, worker: int) -> Path:
    """Where a worker answers."""
    return directory / f"worker-{worker}.sock"


Answer = Callable[[Question], Awaitable[bytes]]
T = TypeVar("T")


async def ask(path: Path, question: Question, within_s: float) -> bytes:
    """The answer of whoever listens at `path`. Raises `SiteError` when there is none in time."""
    try:
        with trio.fail_after(within_s):
            async with aclosing(await trio.open_unix_socket(path)) as stream:
                await stream.send_all(msgspec.json.encode(question))
                await stream.send_eof()
                answer = await _read_all(stream, ANSWER_BYTES)
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
        raise SiteError(f"no answer from {path.stem}") from error
    if not answer:
        raise SiteError(f"no answer from {path.stem}")
    return answer


def decode(answer: bytes, kind: type[T]) -> T:
    """Raises `SiteError`: another release may have answered, during an upgrade in place."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        raise SiteError("an answer that cannot be read") from error


def listen_at(path: Path) -> trio.SocketListener:
    """From here on questions may come; `serve_answers` answers them."""
    path.unlink(missing_ok=True)  # Of a process that was killed.
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen(128)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


async def serve_answers(listener: trio.SocketListener, answer: Answer) -> None:
    """Answer questions until cancelled. What `answer` raises as `SiteError` is no answer to the asker."""

    async def serve_one(stream: trio.SocketStream) -> None:
        with trio.move_on_after(SUPERVISOR_ANSWERS_S):
            try:
                asked = msgspec.json.decode(await _read_all(stream, QUESTION_BYTES), type=Question)
                await stream.send_all(await answer(asked))
            except (SiteError, trio.BrokenResourceError, msgspec.DecodeError):
                return

    await trio.serve_listeners(serve_one, [listener])


async def _read_all(stream: trio.SocketStream, most: int) -> bytes:
    data = bytearray()
    while received := await stream.receive_some():
        data += received
        if len(data) > most:
            raise SiteError("an answer without end")
    return bytes(data)
