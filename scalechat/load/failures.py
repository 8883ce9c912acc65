"""What is told of an error: why a connection did not come about, and what in a group of errors a person should know.

Failures are told apart in one place (`failure_of`), because a thousand clients fail for the same reason and a person
wants one line about it.
"""

from __future__ import annotations

import errno
import os
import ssl
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio
import trio_websocket

from scalechat.client.tls import what_is_wrong
from scalechat.config import ScaleChatError
from scalechat.wire.messages import SUBPROTOCOL

OWN: Final = "local"
"""The kind of failures that are this machine's own: no port, open file or memory is left."""
_OWN_ERRNOS: Final = frozenset((errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_PROTOCOL_LIBRARIES: Final = frozenset(("trio_websocket", "wsproto", "h11"))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection did not come about: a stable kind, and a line for a person."""

    kind: str
    text: str


class NotOffered(Exception):
    """The server took the handshake but none of the subprotocols."""

    def __init__(self, subprotocols: Sequence[str]) -> None:
        advice = "; try --target plain" if SUBPROTOCOL in subprotocols else ""
        super().__init__(f"the server does not speak {' or '.join(subprotocols)}{advice}")


class HungUp(Exception):
    """The connection ended before it could be used; with what the server said before, if anything."""

    def __init__(self, complaint: str = "") -> None:
        super().__init__(f"the server closed the connection instead of answering{complaint}")


def failure_of(error: BaseException) -> Failure | None:
    """What to say about a failed connection; groups are looked into for their first cause. None: it is a bug of ours.

    An exception raised inside a protocol library is the server's doing: those libraries raise at hostile input.
    """
    first = next(leaves(error))
    match first:
        case ConnectionRefusedError():
            return Failure("refused", "connection refused")
        case trio.TooSlowError():
            return Failure("timeout", "not open in time")
        case trio_websocket.ConnectionRejected():
            return Failure("rejected", f"the server answered HTTP {first.status_code} instead of a WebSocket")
        case NotOffered() | HungUp():
            return Failure("rejected", str(first))
        case ssl.SSLError():
            anyway = " (--insecure takes it all the same)" if isinstance(first, ssl.SSLCertVerificationError) else ""
            return Failure("other", what_is_wrong(first) + anyway)
        case OSError(errno=errno.EADDRNOTAVAIL):
            advice = "no port is left, see net.ipv4.ip_local_port_range and --clients-per-address"
            return Failure(OWN, f"{words_of(first)}: {advice}")
        case OSError():
            return Failure(OWN if first.errno in _OWN_ERRNOS else "other", words_of(first))
        case trio.BrokenResourceError() if isinstance(first.__cause__, ssl.SSLError):
            return failure_of(first.__cause__)  # so Trio reports a failed TLS handshake
        case trio.BrokenResourceError() | trio.ClosedResourceError():
            return Failure("other", "the connection broke")
    if _module_of(first).partition(".")[0] in _PROTOCOL_LIBRARIES:
        # What the library met, not what it then could not do about it.
        met = first
        while met.__context__ is not None:
            met = met.__context__
        return Failure("other", f"what the server said breaks the protocol ({met})")
    return None


def words_of(error: OSError) -> str:
    """What the system says."""
    # Trio puts the address into the text of a failed connect; the number says it alone.
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _module_of(error: BaseException) -> str:
    """Where it was raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""


def told_in(error: BaseException) -> ScaleChatError | None:
    """What a person should know of an error, or of a group; None for a bug of ours."""
    return next((leaf for leaf in leaves(error) if isinstance(leaf, ScaleChatError)), None)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, however deep; an exception that is no group, itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
