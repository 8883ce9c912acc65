"""Every way a connection ends: its number, what is said, whether a client should come back, and its metric label.

RFC 6455 section 7.4 assigns 1000 to 1015; 4000 to 4999 are ours. 1005 and 1006 never travel: they name an end without
a Close frame's code and an end without a Close frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Closing:
    """One row of the table."""

    code: int
    reason: str
    reconnect: bool
    """Whether a client should try again without a person's help."""
    label: str
    """Value of the ``reason`` label in metrics, and the word in logs."""


NORMAL: Final = Closing(1000, "bye", False, "normal")
GOING_AWAY: Final = Closing(1001, "server going away", True, "going_away")
PROTOCOL_ERROR: Final = Closing(1002, "WebSocket protocol error", False, "protocol_error")
BINARY: Final = Closing(1003, "text frames only", False, "binary")
NO_CODE: Final = Closing(1005, "closed without a code", True, "no_code")
LOST: Final = Closing(1006, "connection lost", True, "lost")
BAD_UTF8: Final = Closing(1007, "text is not UTF-8", False, "bad_utf8")
POLICY: Final = Closing(1008, "policy violation", False, "policy")
TOO_LARGE: Final = Closing(1009, "message too large", False, "too_large")
INTERNAL: Final = Closing(1011, "internal error", True, "internal")
NOT_AUTHORISED: Final = Closing(4001, "not authorised", False, "not_authorised")
FORBIDDEN_ROOM: Final = Closing(4003, "forbidden room", False, "forbidden_room")
KICKED: Final = Closing(4005, "closed by an operator", False, "kicked")
TOO_SLOW: Final = Closing(4008, "too slow", True, "too_slow")
RATE_LIMIT: Final = Closing(4009, "rate limit", True, "rate_limit")
TOO_MANY: Final = Closing(4010, "too many connections", True, "too_many")
DRAINING: Final = Closing(4012, "draining", True, "draining")

CLOSINGS: Final[dict[int, Closing]] = {
    closing.code: closing
    for closing in (
        NORMAL,
        GOING_AWAY,
        PROTOCOL_ERROR,
        BINARY,
        NO_CODE,
        LOST,
        BAD_UTF8,
        POLICY,
        TOO_LARGE,
        INTERNAL,
        NOT_AUTHORISED,
        FORBIDDEN_ROOM,
        KICKED,
        TOO_SLOW,
        RATE_LIMIT,
        TOO_MANY,
        DRAINING,
    )
}

_OTHER_LABEL = "other"
_RETRY = re.compile(r"; retry after (\d{1,9}) ms$")
_MAX_REASON_BYTES = 123  # RFC 6455 section 5.5: 125 bytes of control payload, two of them the code.


def label_of(code: int) -> str:
    """The metric label of any code, known or not: peers choose codes, so unknown ones share one label."""
    closing = CLOSINGS.get(code)
    return _OTHER_LABEL if closing is None else closing.label


LABELS: Final = (*(closing.label for closing in CLOSINGS.values()), _OTHER_LABEL)


def should_reconnect(code: int) -> bool:
    """Whether a client that was closed with `code` should try again. Unknown codes: yes, with its usual backoff."""
    closing = CLOSINGS.get(code)
    return closing is None or closing.reconnect


def reason_text(closing: Closing, *, detail: str = "", retry_after_ms: int | None = None) -> str:
    """The reason of a Close frame: what happened and, where it helps, when to come back; 123 bytes at most."""
    text = f"{closing.reason}: {detail}" if detail else closing.reason
    retry = "" if retry_after_ms is None else f"; retry after {retry_after_ms} ms"
    room_bytes = _MAX_REASON_BYTES - len(retry)
    return text.encode()[:room_bytes].decode(errors="ignore") + retry


def retry_after_ms(reason: str | None) -> int | None:
    """When a Close frame's reason asks a client to come back, in ms from now; None when it does not say."""
    found = _RETRY.search(reason or "")
    return int(found[1]) if found else None
