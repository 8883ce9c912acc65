"""The opening handshake as a server reads and answers it, and as a client asks (RFC 6455 section 4). Sans-IO.

Strict on purpose: what is accepted here is replayed to the WebSocket library when a connection needs it, so nothing may
pass that the library would refuse. Every real client's request is of this form; anything else gets a 400.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from hashlib import sha1
from http import HTTPStatus
from typing import Final

import msgspec

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REQUEST_LINE: Final = re.compile(rb"GET ([!-~]+) HTTP/1\.1")
_HEADER: Final = re.compile(rb"\r\n([!#$%&'*+.^_`|~0-9A-Za-z-]++):([ -~\t]*+)(?=\r\n)")
"""Possessive throughout: with anything to go back over, 16 KiB of spaces would hold the loop for an hour."""
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 101(?: [ -~]*+)?(?=\r\n)")
_ANSWERED: Final = frozenset(("connection", "sec-websocket-accept", "sec-websocket-protocol", "upgrade"))
_ONCE: Final = frozenset(("connection", "host", "origin", "sec-websocket-key", "sec-websocket-version", "upgrade"))


class BadHandshake(ValueError):
    """Their fault: a request that is no valid opening handshake, and the status that says so."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Upgrade(msgspec.Struct, frozen=True):
    """A request to speak WebSocket. Header names are lower case; repeated headers are joined by commas."""

    target: str
    headers: dict[str, str]
    subprotocols: tuple[str, ...]
    key: str


def parse_upgrade(head: bytes) -> Upgrade:
    """Read a request head that ends in an empty line; raises `BadHandshake`."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise BadHandshake(HTTPStatus.BAD_REQUEST, "this is no WebSocket handshake (RFC 6455)")
    headers: dict[str, str] = {}
    repeated = False
    at = line.end()
    while (field := _HEADER.match(head, at)) is not None:
        at = field.end()
        name, value = field[1].decode().lower(), field[2].decode().strip(" \t")
        repeated |= name in headers and name in _ONCE
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if repeated or head[at:] != b"\r\n\r\n" or not _asks_properly(headers):
        raise BadHandshake(HTTPStatus.BAD_REQUEST, "this is no WebSocket handshake (RFC 6455)")
    if headers.get("sec-websocket-version") != "13":
        raise BadHandshake(HTTPStatus.UPGRADE_REQUIRED, "the WebSocket version here is 13")
    offered = headers.get("sec-websocket-protocol", "")
    subprotocols = tuple(filter(None, (name.strip() for name in offered.split(","))))
    return Upgrade(line[1].decode(), headers, subprotocols, headers["sec-websocket-key"])


def accept_of(key: str) -> bytes:
    """What Sec-WebSocket-Accept answers to a key."""
    return base64.b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest())


def upgrade_request(
    host: str, target: str, key: str, subprotocols: Sequence[str], headers: Sequence[tuple[bytes, bytes]]
) -> bytes | None:
    """A client's request; None when something in it may not stand in a request."""
    lines = [b"Host: " + host.encode(), b"Upgrade: websocket", b"Connection: Upgrade"]
    lines += [b"Sec-WebSocket-Key: " + key.encode(), b"Sec-WebSocket-Version: 13"]
    if subprotocols:
        lines.append(b"Sec-WebSocket-Protocol: " + ", ".join(subprotocols).encode())
    lines += [name + b": " + value for name, value in headers]
    head = b"\r\n".join((b"GET " + target.encode() + b" HTTP/1.1", *lines, b"", b""))
    try:
        return head if parse_upgrade(head).target == target else None
    except BadHandshake:
        return None


def accepted(head: bytes, key: str, subprotocols: Sequence[str]) -> tuple[str | None] | None:
    """The subprotocol that a server's plain answer chooses, in a tuple; None for an answer a library should judge.

    `head` ends in an empty line; `subprotocols` are those that were offered.
    """
    line = _STATUS_LINE.match(head)
    if line is None:
        return None
    headers: dict[str, str] = {}
    at = line.end()
    while (field := _HEADER.match(head, at)) is not None:
        at = field.end()
        name = field[1].decode().lower()
        if name in headers and name in _ANSWERED:
            return None
        headers[name] = field[2].decode().strip(" \t")
    chosen = headers.get("sec-websocket-protocol")
    plain = (
        head[at:] == b"\r\n\r\n"
        and headers.get("upgrade", "").lower() == "websocket"
        and headers.get("connection", "").lower() == "upgrade"
        and headers.get("sec-websocket-accept", "").encode() == accept_of(key)
        and "sec-websocket-extensions" not in headers
        and (chosen is None or chosen in subprotocols)
    )
    return (chosen,) if plain else None


def accept_response(upgrade: Upgrade, subprotocol: str | None) -> bytes:
    """The answer that opens the WebSocket. No extension is ever accepted, so that all members' frames are equal."""
    accept = accept_of(upgrade.key)
    chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: " + subprotocol.encode() + b"\r\n"
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n"
        + chosen
        + b"\r\n"
    )


def refuse_response(status: HTTPStatus, detail: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """An answer that opens nothing: `detail` is its text."""
    body = detail.encode() + b"\n"
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _asks_properly(headers: dict[str, str]) -> bool:
    return (
        "host" in headers
        and headers.get("upgrade", "").lower() == "websocket"
        and "upgrade" in [token.strip().lower() for token in headers.get("connection", "").split(",")]
        and _KEY.fullmatch(headers.get("sec-websocket-key", "")) is not None
        and "content-length" not in headers
        and "transfer-encoding" not in headers
    )
