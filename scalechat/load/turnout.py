"""Steps of load in clients: who comes and who goes when a leg of the run has more of them, or fewer, than the last."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from scalechat.load.course import Course
from scalechat.load.pacing import NowNs, sleep_until
from scalechat.load.tempo import SECOND_NS
from scalechat.load.virtual_client import VirtualClient


class Turnout:
    """Of the clients of one process. Whoever comes or goes does so at the pace of the ramp, in the order of numbers."""

    def __init__(self, course: Course, clients: Sequence[VirtualClient], per_s: float, clock: NowNs) -> None:
        self._course = course
        self._clients = clients
        self._gap_ns = SECOND_NS / per_s
        self._clock = clock

    async def run(self, steady_ns: int, load: trio.Nursery) -> None:
        """Carry out all changes, with clients as tasks of `load`; `steady_ns` is the end of the warm-up."""
        before = self._course.legs[0].clients
        for leg in self._course.legs[1:]:
            begin_ns = steady_ns + leg.begin_ns
            coming = [client for client in self._clients if before <= client.number < leg.clients]
            _expect(coming)
            await sleep_until(begin_ns, self._clock)
            _expect(coming)  # Some may have been about to go before.
            going = [client for client in reversed(self._clients) if leg.clients <= client.number < before]
            for client in coming:
                at_ns = begin_ns + round((client.number - before) * self._gap_ns)
                await sleep_until(at_ns, self._clock)
                load.start_soon(client.run, at_ns)
            for client in going:
                await sleep_until(begin_ns + round((before - 1 - client.number) * self._gap_ns), self._clock)
                load.start_soon(client.retire)
            before = leg.clients


def _expect(coming: Sequence[VirtualClient]) -> None:
    """What is due for them from the leg's first moment on waits until they are there."""
    for client in coming:
        client.is_away = True
