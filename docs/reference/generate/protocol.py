"""Codes that a client may meet."""

from __future__ import annotations

from docs.reference.generate.markdown import code, codes, table
from scalechat.server.admission import REFUSALS
from scalechat.wire.closing import CLOSINGS, LOST, NO_CODE
from scalechat.wire.messages import ERRORS


def errors() -> str:
    """Of `error` answers."""
    return table(("code", "meaning"), ((code(name), meaning) for name, meaning in ERRORS.items()))


def refusals() -> str:
    """Values of the label `reason` of `scalechat_refusals_total`."""
    return f"{codes(REFUSALS)}.\n"


def closings() -> str:
    """Close codes; two of RFC 6455's never travel."""
    sent = [closing for closing in CLOSINGS.values() if closing not in (NO_CODE, LOST)]
    return table(
        ("code", "reason", "come back?", "in metrics and logs"),
        ((str(c.code), c.reason, "yes" if c.reconnect else "no", code(c.label)) for c in sent),
    )
