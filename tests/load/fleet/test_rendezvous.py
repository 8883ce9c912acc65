"""Instances that meet: what is said when they cannot."""

from __future__ import annotations

import pytest
from coredis.exceptions import AuthenticationError, ConnectionError

from scalechat.load.fleet.rendezvous import no_redis


def caused(by: OSError) -> ConnectionError:
    error = ConnectionError("Unable to establish a connection to 127.0.0.1:6379")
    error.__cause__ = ExceptionGroup("", [by])
    return error


@pytest.mark.parametrize(
    "url, error, line",
    [
        (
            "redis://:secret@127.0.0.1",
            AuthenticationError("invalid."),
            "the Redis at redis://***@127.0.0.1 does not accept the user name or password (invalid)",
        ),
        (
            "redis://127.0.0.1",
            AuthenticationError("HELLO must be called with the client already authenticated"),
            "the Redis at redis://127.0.0.1 asks for a password (redis://:PASSWORD@…)",
        ),
        (
            "redis://127.0.0.1",
            caused(OSError(111, "Error connecting to (…): Connection refused")),
            "no Redis at redis://127.0.0.1 (Connection refused)",
        ),
        ("redis://127.0.0.1", ConnectionError("it went away"), "no Redis at redis://127.0.0.1 (it went away)"),
    ],
)
def test_a_redis_that_cannot_be_used_is_one_line(url: str, error: Exception, line: str) -> None:
    """What there is, not what the library made of it; no password."""
    assert no_redis(url, error) == f"{line}: check --rendezvous"
