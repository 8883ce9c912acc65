"""Ports for servers that have to be told theirs."""

from __future__ import annotations

import itertools
import os
import socket

_LOWEST = 12_000
_EACH = 2_500
_WORKERS = 4  # as many as pytest starts at most; above their ports are those of a Redis Cluster (`bus.redis_cluster`)
_turns = itertools.count(os.getpid())


def unused_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has, nor gets: below those that the kernel gives out, and for each worker of
    pytest others than for the rest."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for turn in itertools.islice(_turns, _EACH):
        port = _LOWEST + worker % _WORKERS * _EACH + turn % _EACH
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
