"""A connection to Redis that comes back by itself.

coredis' pool is not used: a pool loses a slot with each connection that dies while lent out, and everything here needs
just one connection, or one of its own. Nor is its retry policy: it repeats what may have been done already.
"""

from __future__ import annotations

import os
import random
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import trio
from coredis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

from scalechat.bus.redis.address import ANSWER_S, Address

BACKOFF_S: Final = (0.1, 1.0)
"""Before the next attempt to connect: doubled from the first to the second, with jitter, so that a Redis that comes
back is not met by all its nodes at once and is used again within a second."""

Reply: TypeAlias = "int | bytes | str | float | bool | list[Reply] | dict[bytes, Reply] | None"
"""What Redis answers, as the parser makes it."""

Command: TypeAlias = tuple[bytes | str | int, ...]


class LinkDown(Exception):
    """There is no connection, or it was lost before the answer came: the call may have been carried out or not."""


class Elsewhere(Exception):
    """This Redis cannot do it now and another one, or the same one in a moment, can."""


ELSEWHERE: Final = (AskError, MovedError, ClusterDownError, TryAgainError, BusyLoadingError, ReadOnlyError)


class Link(ABC):
    """`run` keeps the connection; `changed` is told when it goes up (None) or down (why).

    Of its two kinds `asking.Asking` is for many tasks, `lane.Lane` for one that is in a hurry.
    """

    def __init__(self, address: Address, name: str, changed: Callable[[Link, str | None], None]) -> None:
        self.address = address
        self._name = name
        self._changed = changed
        self._news = trio.Event()
        """It came up, or is turned away."""
        self.connects = 0
        self.turned_away = False
        """Whether the last attempt failed for a reason that time alone does not mend: a password, a certificate."""

    @property
    @abstractmethod
    def up(self) -> bool:
        """Whether there is a connection."""

    @property
    @abstractmethod
    def client_id(self) -> int:
        """What Redis calls this connection; 0 while there is none."""

    @abstractmethod
    def drop(self) -> None:
        """Give the connection up: it does not answer, or is not to be trusted."""

    @abstractmethod
    async def call_all(self, commands: Sequence[Command], answer_s: float = ANSWER_S) -> list[Reply | RedisError]:
        """Ask several things in one write; an error is the answer to its command.

        Raises `LinkDown`. When cancelled, the commands may have been carried out.
        """

    @abstractmethod
    async def call(self, *command: bytes | str | int, answer_s: float = ANSWER_S) -> Reply:
        """Ask Redis one thing.

        Raises `LinkDown`, `Elsewhere`, and coredis' own `RedisError` when Redis refuses. When cancelled, the command
        may have been carried out.
        """

    @abstractmethod
    async def _connect_once(self) -> str:
        """Connect, tell `_note_up`, and stay until the connection ends. Returns why it ended."""

    async def run(self) -> None:
        """Connect again and again, until cancelled."""
        wait_s = BACKOFF_S[0]
        while True:
            connects = self.connects
            why = await self._connect_once()
            self._changed(self, why)
            if self.connects > connects:
                wait_s = BACKOFF_S[0]
            await trio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, BACKOFF_S[1])

    async def wait_up(self) -> None:
        """Wait until there is a connection."""
        while not self.up:
            await self._news.wait()

    async def wait_tried(self) -> None:
        """Wait until there is a connection, or it is turned away."""
        while not (self.up or self.turned_away):
            await self._news.wait()

    def _note_up(self) -> None:
        self.connects += 1
        self.turned_away = False
        self._tell_news()
        self._changed(self, None)

    def _note_failed(self, error: BaseException) -> str:
        """An attempt has failed; returns why."""
        cause = _innermost(error)
        self.turned_away = isinstance(cause, AuthenticationError | ssl.SSLCertVerificationError)
        if self.turned_away:
            self._tell_news()
        return _why(cause, self.address)

    def _tell_news(self) -> None:
        self._news.set()
        self._news = trio.Event()


def _innermost(error: BaseException) -> BaseException:
    """What the system said, not what was made of it on the way up."""
    while (cause := error.__cause__ or getattr(error, "exceptions", (None,))[0]) is not None:
        error = cause
    return error


def _why(cause: BaseException, address: Address) -> str:
    match cause:
        case AuthenticationError() if address.password is None:
            return "it asks for a password"
        case AuthenticationError():
            return f"it does not accept the user name or password ({str(cause).rstrip('.')})"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted ({cause.verify_message}); ?ca=FILE names a private authority"
        case ssl.SSLError():  # Its errno is none of the system's.
            return f"no TLS with it ({cause.reason})"
        case TimeoutError() | trio.TooSlowError():
            return "it does not answer" if address.tls is None else "it does not answer, or not with TLS"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
    return str(cause) or "the connection was lost"
