"""What happens in a run at planned times besides publishing: the ``[[events]]`` of a scenario.

Pauses and bursts are in the plan's tempo already; here they are only told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from scalechat.load.pacing import NowNs, sleep_until
from scalechat.load.plan import SECOND_NS, Plan
from scalechat.load.seeded import Chance, Draw
from scalechat.load.virtual_client import VirtualClient
from scalechat.scenario import Burst, Event, Pause, ReconnectStorm

Say = Callable[[str, str, str], None]
"""(kind, detail for the run, line for a person)."""


class Stage:
    """Carries out the events with the clients of this process."""

    def __init__(
        self,
        events: Sequence[Event],
        plan: Plan,
        clients: Sequence[VirtualClient],
        say: Say,
    ) -> None:
        self._events = events
        self._plan = plan
        self._clients = clients
        self._say = say
        self._chance = Chance(plan.seed)

    async def run(self, begin_ns: int, clock: NowNs) -> None:
        """Let each event happen at its time after `begin_ns`; cancel it to stop."""
        async with trio.open_nursery() as nursery:
            for number, event in enumerate(self._events):
                nursery.start_soon(self._happen, number, event, begin_ns + round(event.at_s * SECOND_NS), clock)

    async def _happen(self, number: int, event: Event, at_ns: int, clock: NowNs) -> None:
        await sleep_until(at_ns, clock)
        match event:
            case ReconnectStorm():
                self._cut(number, event)
            case Pause():
                self._tell("pause", f"nobody publishes for {event.for_s:g} s")
                await sleep_until(at_ns + round(event.for_s * SECOND_NS), clock)
                self._tell("pause_over", "everybody publishes again")
            case Burst():
                self._tell("burst", f"everybody publishes {event.factor:g} times as often for {event.for_s:g} s")
                await sleep_until(at_ns + round(event.for_s * SECOND_NS), clock)
                self._tell("burst_over", "everybody publishes as before")

    def _cut(self, number: int, storm: ReconnectStorm) -> None:
        """The chosen ones are the same in every process, and each is cut where it is."""
        everybody = range(self._plan.clients)
        by_chance = sorted(everybody, key=lambda client: self._chance.uniform(Draw.STORM, client, number))
        chosen = set(by_chance[: storm.of(self._plan.clients)])
        mine = [client for client in self._clients if client.number in chosen and client.is_open]
        for client in mine:
            client.drop(storm.within_s * self._chance.uniform(Draw.RETURN, client.number, number))
        how = f"within {storm.within_s:g} s" if storm.within_s else "all at once"
        self._tell("storm", f"{len(mine)} clients lost their connections and dial again {how}")

    def _tell(self, kind: str, text: str) -> None:
        self._say(kind, text, text)
