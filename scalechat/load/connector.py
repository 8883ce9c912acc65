"""Open the connections under the WebSockets: name resolution once, TLS, and as many source addresses as are needed."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import trio

from scalechat.client.tls import tls_context
from scalechat.config import OperationalError
from scalechat.load.failures import words_of
from scalechat.values import redact_url

CLIENTS_PER_ADDRESS: Final = 20_000
"""From one loopback address to one port. Linux has 28,000 ephemeral ports; some linger in TIME_WAIT."""
_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")

Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""A socket address as getaddrinfo gives it; the last form is that of Pythons without IPv6."""


@dataclass(frozen=True, slots=True)
class Link:
    """An open connection. `sock` is the non-blocking socket under it, when nothing (TLS) lies between."""

    stream: trio.abc.Stream
    sock: socket.socket | None = None


class NoTarget(OperationalError):
    """There is no server that could be loaded; one line that says what there is."""


class Connector(Protocol):
    """Makes connections to the target; tests make them of memory streams."""

    @property
    def host_header(self) -> str:
        """What the handshake's Host says."""
        ...

    async def open(self, client: int, *, receive_buffer_bytes: int | None = None) -> Link:
        """Connect the client, with a receive buffer of its own size if it says one. Raises OSError and
        `ssl.SSLError`."""
        ...


class TcpConnector:
    """Connections to one address of a ``ws://`` or ``wss://`` URL. Make it with `TcpConnector.resolve`."""

    def __init__(
        self,
        url: str,
        family: int,
        address: Address,
        tls: ssl.SSLContext | None,
        clients_per_address: int = CLIENTS_PER_ADDRESS,
    ) -> None:
        parts = urlsplit(url)
        self._hostname = parts.hostname or ""
        self.host_header = parts.netloc.rpartition("@")[2]
        self._family = family
        self._address = address
        self._tls = tls
        self._clients_per_address = clients_per_address

    @classmethod
    async def resolve(
        cls, url: str, tls: ssl.SSLContext | None = None, clients_per_address: int = CLIENTS_PER_ADDRESS
    ) -> TcpConnector:
        """Find the target's address: the first one that takes a connection.

        `tls`: whom to trust, if the URL asks for TLS; whom the system trusts, unless given.
        `clients_per_address`: how many clients dial from each source address, where there are several.

        Raises:
            NoTarget: the name is unknown, or nobody listens; one line that says what to do.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
        hostname = parts.hostname or ""
        try:
            found = await trio.socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NoTarget(f"cannot resolve {hostname!r} ({error.strerror}): check --server-url") from error
        failure = "no address"
        for family, _type, _protocol, _name, address in found:
            connector = cls(url, family, address, (tls or tls_context()) if secure else None, clients_per_address)
            try:
                with trio.fail_after(10):
                    link = await connector._open_tcp(0)
            except OSError as error:
                failure = words_of(error)
                continue
            except trio.TooSlowError:
                failure = "no answer"
                continue
            await trio.aclose_forcefully(link.stream)
            return connector
        raise NoTarget(
            f"cannot connect to {redact_url(url)} ({failure}): is a server running there? "
            "(python -m scalechat serve, or give --server-url)"
        )

    async def open(self, client: int, *, receive_buffer_bytes: int | None = None) -> Link:
        """See `Connector`."""
        link = await self._open_tcp(client, receive_buffer_bytes)
        if self._tls is None:
            return link
        stream = trio.SSLStream(link.stream, self._tls, server_hostname=self._hostname, https_compatible=True)
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return Link(stream)

    async def _open_tcp(self, client: int, receive_buffer_bytes: int | None = None) -> Link:
        # Made here and not by trio.open_tcp_stream: the poller and prompt sends need the socket itself.
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        wrapped = trio.socket.from_stdlib_socket(sock)
        try:
            if receive_buffer_bytes is not None:  # before connecting: the window that is announced follows from it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            source = self._source(client)
            if source is not None:
                await wrapped.bind((source, 0))
            await wrapped.connect(self._address)
        except BaseException:
            wrapped.close()
            raise
        return Link(trio.SocketStream(wrapped), sock)

    def without_port(self, clients: int, ports: int | None) -> int:
        """How many of so many clients find no port left on this machine, if an address has `ports` of them."""
        if ports is None:
            return 0
        full, others = divmod(clients, self._clients_per_address) if self._has_sources else (0, clients)
        return full * max(0, self._clients_per_address - ports) + max(0, others - ports)

    @property
    def _has_sources(self) -> bool:
        """Linux has all of 127.0.0.0/8."""
        ipv4 = sys.platform == "linux" and self._family == socket.AF_INET
        return ipv4 and ipaddress.ip_address(str(self._address[0])).is_loopback

    def _source(self, client: int) -> str | None:
        """127.0.0.2, 127.0.0.3… for clients beyond what one loopback address has ports for."""
        if client < self._clients_per_address or not self._has_sources:
            return None
        return str(ipaddress.ip_address("127.0.0.1") + client // self._clients_per_address)


def ephemeral_ports() -> int | None:
    """How many connections one address of this machine can have to one address and port; None if it does not say."""
    try:
        low, high = map(int, _PORT_RANGE.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return high - low + 1
