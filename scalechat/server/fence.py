"""The fence around each connection: no peer can end the process.

An exception in trio-websocket's reader task, or in hypercorn's, would otherwise reach the nursery that accepts, and
take every other connection with it. Inside the fence it is counted, logged and ends that one connection. Cancellation
passes.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType

import structlog
import trio

from scalechat.server.metrics import Counters
from scalechat.server.transport import FrameFlood

_LIBRARIES = frozenset(("trio_websocket", "wsproto", "h11", "hypercorn"))
_BENEATH = sys.stdlib_module_names | {"trio", "outcome"}

log = structlog.get_logger("scalechat.server")


async def run_fenced(serve: Callable[[], Awaitable[None]], counters: Counters) -> None:
    """Run `serve()`; whatever it raises stays here."""
    try:
        await serve()
    except* Exception as group:
        for error in _leaves(group):
            kind = kind_of(error)
            counters.connection_errors[kind] += 1
            if kind == "bug":
                log.error("bug in a connection", error=repr(error), at=_where(error.__traceback__), exc_info=error)
            else:
                log.debug("connection dropped", kind=kind, error=type(error).__name__)


def kind_of(error: Exception) -> str:
    """What ended the connection: a label of ``scalechat_connection_errors_total``.

    An exception raised inside a protocol library, or by what that called in the standard library (a codec), is the
    peer's doing: those libraries raise at hostile input.
    """
    if isinstance(error, FrameFlood):
        return "flood"
    if isinstance(error, OSError | trio.BrokenResourceError | trio.ClosedResourceError):
        return "io"
    frame = _culprit(error.__traceback__)
    return "protocol" if frame is not None and _package(frame) in _LIBRARIES else "bug"


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _culprit(traceback: TracebackType | None) -> TracebackType | None:
    """The innermost frame of the traceback that is neither of the standard library nor of Trio."""
    found = None
    while traceback is not None:
        if _package(traceback) not in _BENEATH:
            found = traceback
        traceback = traceback.tb_next
    return found


def _package(traceback: TracebackType) -> str:
    return str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _where(traceback: TracebackType | None) -> str:
    frame = _culprit(traceback)
    return "" if frame is None else f"{frame.tb_frame.f_globals.get('__name__', '')}:{frame.tb_lineno}"
