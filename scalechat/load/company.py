"""Whom a run shares its load with: where the ways of its processes must meet. A run that is alone waits for nobody."""

from __future__ import annotations

from typing import Protocol

from scalechat.load.ending import Ending
from scalechat.load.recorder import Recorder


class Company(Protocol):
    """The other processes of a run, as one of them meets them. Each wait may be cancelled."""

    async def listen(self, recorder: Recorder, ending: Ending) -> None:
        """Take in what the others tell, until cancelled: into the recorder's `elsewhere`, and into `ending`."""
        ...

    async def gather(self) -> int | None:
        """Everybody here has joined or failed to; return when that is true everywhere.

        Returns when all begin to publish, ns of the run's clock; None: whenever this process likes.
        """
        ...

    def forlorn(self, why: str) -> None:
        """No connection is left here, and that was not our wish."""
        ...

    def announce(self, recorder: Recorder, *, final: bool) -> None:
        """Nothing more is published here; `final`: and nothing more is awaited. Called again when it changed."""
        ...

    @property
    def has_told(self) -> bool:
        """Whether all the others have announced what they published."""
        ...

    async def part(self) -> None:
        """Return when nobody awaits anything any more, or has waited long enough for the others."""
        ...


class Alone:
    """The company of a run in one process."""

    def __init__(self) -> None:
        self._ending: Ending | None = None

    async def listen(self, recorder: Recorder, ending: Ending) -> None:  # noqa: ARG002 - nobody tells anything
        """See `Company`."""
        self._ending = ending

    async def gather(self) -> int | None:
        """See `Company`."""
        return None

    def forlorn(self, why: str) -> None:
        """See `Company`: then there is nothing left to do."""
        if self._ending is not None:
            self._ending.end(why)

    def announce(self, recorder: Recorder, *, final: bool) -> None:
        """See `Company`."""

    @property
    def has_told(self) -> bool:
        """See `Company`."""
        return True

    async def part(self) -> None:
        """See `Company`."""
