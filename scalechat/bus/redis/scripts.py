"""The scripts that change a shard in one step, from the files in ``lua``."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    text: bytes

    @property
    def sha(self) -> bytes:
        """The name under which Redis keeps a loaded script."""
        return sha1(self.text, usedforsecurity=False).hexdigest().encode()


def _script(*names: str) -> Script:
    folder = files("scalechat.bus.redis") / "lua"
    return Script(names[-1], b"".join((folder / f"{name}.lua").read_bytes() for name in names))


PUBLISH: Final = _script("publish")
PAGE: Final = _script("page")
ENTER: Final = _script("_presence", "enter")
HERE: Final = _script("_presence", "here")
ROOMS: Final = _script("_presence", "rooms")
RENEW: Final = _script("renew")

LOADED: Final = (PAGE, ENTER, HERE, ROOMS, PUBLISH)
"""Called by their SHA. A Redis that has started anew knows none of them, and that is how a start is noticed: they are
loaded together with the look at what it may have lost (`scalechat.bus.redis.generation`), `PUBLISH` last."""
