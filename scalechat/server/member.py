"""One connection as the hub and the rooms see it: who speaks, where its bytes go, and how to end it."""

from __future__ import annotations

from collections.abc import Callable

from scalechat.server.outbox import Outbox
from scalechat.server.transport import Transport
from scalechat.wire.closing import Closing
from scalechat.wire.session import Session

EndConnection = Callable[["Member", Closing, str, int | None], None]
"""(member, closing, detail, retry_after_ms): ask the connection to close. Plain, never blocks, may be called twice."""


class Member:
    """Identity semantics: two connections of one client are two members."""

    __slots__ = (
        "_end",
        "address",
        "client_id",
        "connected_unix_s",
        "outbox",
        "session",
        "session_id",
        "token_expires_unix_s",
        "transport",
    )

    def __init__(
        self,
        *,
        session_id: str,
        session: Session,
        address: str,
        outbox: Outbox,
        connected_unix_s: float,
        token_expires_unix_s: float | None,
        transport: Transport,
        end: EndConnection,
    ) -> None:
        self.session_id = session_id
        self.session = session
        self.client_id = session.client_id
        """Set apart from the session's: it changes together with the hub's index, in one step."""
        self.address = address
        self.outbox = outbox
        self.connected_unix_s = connected_unix_s
        self.token_expires_unix_s = token_expires_unix_s
        self.transport = transport
        self._end = end

    def end(self, closing: Closing, detail: str = "", *, retry_after_ms: int | None = None) -> None:
        """Ask the connection to close; the reason travels in the Close frame."""
        self._end(self, closing, detail, retry_after_ms)
