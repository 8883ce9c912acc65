"""Who is who: instances of one run find each other in Redis, and no two of them are the same."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio
from coredis import PureToken, Redis
from coredis.exceptions import RedisError

from scalechat.config import OperationalError, UsageError

HELD_S: Final = 15
"""A place is given up when its holder has not said so long that it is there: an instance that was killed can be started
again after that."""
HOLD_EVERY_S: Final = 4.0
LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """What an instance is in its run. Its channel's keys carry the token, so that no earlier attempt is met there."""

    index: int
    token: str


class Places:
    """The places 0…count-1 of the run `name`."""

    def __init__(self, redis: Redis[bytes], name: str, count: int) -> None:
        self._redis = redis
        self._name = name
        self._count = count

    def key(self, index: int) -> str:
        """Where the holder of a place has its token."""
        return f"scalechat:load:{self._name}:place:{index}"

    def ways(self, place: Place) -> tuple[str, str]:
        """The keys of its channel: from the instance, and to it."""
        prefix = f"scalechat:load:{self._name}:{place.token}"
        return f"{prefix}:up", f"{prefix}:down"

    async def claim(self, index: int | None) -> Place:
        """Take this place, or the first free one.

        Raises:
            UsageError: somebody has it, or all are taken.
        """
        token = secrets.token_hex(8)
        for candidate in range(self._count) if index is None else (index,):
            taken = await self._redis.set(self.key(candidate), token, condition=PureToken.NX, ex=HELD_S)
            if taken:
                return Place(candidate, token)
        if index is None:
            raise UsageError(
                f"all {self._count} places of the run {self._name!r} are taken: raise --expected-instances everywhere, "
                "or give another --rendezvous-key"
            )
        raise UsageError(
            f"there is an instance {index} of the run {self._name!r} already: give each another --instance, or another "
            "--rendezvous-key for another run"
        )

    async def hold(self, place: Place) -> None:
        """Keep the place until cancelled."""
        while True:
            with suppress(RedisError, OSError):
                await self._redis.set(self.key(place.index), place.token, ex=HELD_S)
            await trio.sleep(HOLD_EVERY_S)

    async def present(self, own: Place) -> Sequence[Place]:
        """Everybody else who is there now, in order."""
        others = [index for index in range(self._count) if index != own.index]
        tokens = await self._redis.mget([self.key(index) for index in others]) if others else ()
        return [Place(index, token.decode()) for index, token in zip(others, tokens, strict=True) if token is not None]

    async def find_others(self, own: Place, *, timeout_s: float) -> Sequence[Place]:
        """Everybody else, in order.

        Raises:
            OperationalError: somebody did not come; the line names them.
        """
        found: dict[int, Place] = {}
        with trio.move_on_after(timeout_s):
            while len(found) < self._count - 1:
                found |= {other.index: other for other in await self.present(own) if other.index not in found}
                await trio.sleep(LOOK_S)
        missing = [index for index in range(self._count) if index != own.index and index not in found]
        if missing:
            raise OperationalError(missing_line(missing, self._count, timeout_s))
        return [found[index] for index in sorted(found)]

    async def leave(self, place: Place, keys: Sequence[str]) -> None:
        """Remove the place and these keys of its channel."""
        with suppress(RedisError, OSError):
            await self._redis.delete([self.key(place.index), *keys])


def missing_line(missing: Sequence[int], count: int, timeout_s: float) -> str:
    """Who did not come, and what to do."""
    names = ", ".join(str(index) for index in missing)
    noun = "instance" if len(missing) == 1 else "instances"
    return (
        f"{noun} {names} of {count} did not come within {timeout_s:g} s: start as many as --expected-instances says, "
        "all with the same --rendezvous and --rendezvous-key"
    )
