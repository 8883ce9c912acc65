"""Which bus a setting means."""

from __future__ import annotations

from collections.abc import Callable

from scalechat.bus.base import Bus
from scalechat.bus.memory import MemoryBus
from scalechat.config import OperationalError


def make_bus(name: str, *, history_messages: int, observe_publish_s: Callable[[float], None]) -> Bus:
    """The bus that ``--bus`` names, not yet running: ``memory``, or the URL of a Redis.

    `observe_publish_s` is told how long each publish took that left this process. Raises `OperationalError`.
    """
    if name == "memory":
        return MemoryBus(history_messages=history_messages)
    try:
        from scalechat.bus.redis.address import parse_address
        from scalechat.bus.redis.bus import RedisBus
        from scalechat.bus.redis.keeping import Keeping
    except ModuleNotFoundError as error:
        raise OperationalError(
            f"--bus with a Redis URL needs the package {error.name}: pip install 'scalechat[redis]'"
        ) from error
    return RedisBus(
        parse_address(name), Keeping(history_messages=history_messages), observe_publish_s=observe_publish_s
    )
