"""A Redis URL, read: where to connect and as whom.

``redis://[user:password@]host[:port][/db]``, ``rediss://…`` (TLS; ``?ca=FILE`` names the authority of a server whose
certificate no public one has signed), ``unix://[user:password@]/path[?db=N]``. ``redis+cluster://…``
and ``rediss+cluster://…`` name any one server of a Redis Cluster.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from coredis.connection import (
    BaseConnection,
    TCPConnection,
    TCPLocation,
    UnixDomainSocketConnection,
    UnixDomainSocketLocation,
)

from scalechat.config import OperationalError
from scalechat.values import redact_url

CONNECT_S: Final = 2.0
"""To open a connection. A Redis farther away than that is of no use to a chat."""
ANSWER_S: Final = 2.0
"""To answer one call. The slowest script runs for a few milliseconds; a Redis that is stopped never answers."""

Location = TCPLocation | UnixDomainSocketLocation


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is. `shown` is its URL without secrets."""

    location: Location
    shown: str = field(compare=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: ssl.SSLContext | None = None
    cluster: bool = False

    @property
    def host(self) -> str:
        """Name or address of the machine."""
        return self.location.host if isinstance(self.location, TCPLocation) else ""

    def at(self, host: str, port: int) -> Address:
        """Another server of the same cluster."""
        shown = f"{host}:{port}"
        return replace(self, location=TCPLocation(host, port), shown=shown)

    def connection(self, name: str) -> BaseConnection:
        """A new connection, not yet opened; Redis shows it under `name` (CLIENT LIST)."""
        if isinstance(self.location, UnixDomainSocketLocation):
            return UnixDomainSocketConnection(
                self.location,
                connect_timeout=CONNECT_S,
                stream_timeout=ANSWER_S,
                username=self.username,
                password=self.password,
                db=self.db,
                client_name=name,
            )
        return TCPConnection(
            self.location,
            socket_keepalive=True,
            connect_timeout=CONNECT_S,
            stream_timeout=ANSWER_S,
            username=self.username,
            password=self.password,
            db=self.db,
            ssl_context=self.tls,
            client_name=name,
        )


def parse_address(url: str) -> Address:
    """Read a URL that `config` has accepted. Raises `OperationalError` when its authority's file cannot be read."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    shown = redact_url(url)
    if parts.scheme == "unix":
        path = unquote(parts.path)
        db = int(query.get("db", ["0"])[0])
        return Address(UnixDomainSocketLocation(path), shown, username, password, db)
    scheme, _, kind = parts.scheme.partition("+")
    location = TCPLocation(parts.hostname or "localhost", parts.port or 6379)
    db = int(parts.path.strip("/") or 0)
    tls = _tls(query["ca"][0] if "ca" in query else None) if scheme == "rediss" else None
    return Address(location, shown, username, password, db, tls, cluster=kind == "cluster")


def _tls(file: str | None) -> ssl.SSLContext:
    """Certificate and host name are always checked: a bus that anybody may impersonate needs no TLS."""
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise OperationalError(f"cannot read the certificates in {file}: {error.strerror or error}") from error
