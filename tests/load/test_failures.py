"""Why connections fail, in words."""

from __future__ import annotations

import ssl

import trio
import trio_websocket

from scalechat.load.failures import Failure, failure_of


def test_every_kind_of_failure_has_its_words() -> None:
    """Groups are looked into, and what is our own fault is not called the server's."""
    refused = ExceptionGroup("", [ExceptionGroup("", [ConnectionRefusedError(111, "x")])])
    assert failure_of(refused) == Failure("refused", "connection refused")
    assert failure_of(OSError(113, "x")) == Failure("other", "no route to host")
    assert failure_of(OSError(24, "x")) == Failure("local", "too many open files")
    no_port = failure_of(OSError(99, "x"))
    assert no_port is not None
    assert (no_port.kind, no_port.text.partition(":")[0]) == ("local", "cannot assign requested address")
    assert failure_of(trio.TooSlowError()) == Failure("timeout", "not open in time")
    rejected = trio_websocket.ConnectionRejected(401, (), None)
    assert failure_of(rejected) == Failure("rejected", "the server answered HTTP 401 instead of a WebSocket")
    broken = trio.BrokenResourceError()
    broken.__cause__ = ssl.SSLError(1, "wrong version")
    found = failure_of(broken)
    assert found is not None
    assert found.text.startswith("no TLS (")
    assert failure_of(ZeroDivisionError()) is None
