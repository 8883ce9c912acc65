"""One worker's view of its fleet: the `Company` of its run, fed by what the coordinator says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import trio

from scalechat.load.ending import Ending, Interruption
from scalechat.load.fleet.clock import ClockOffset
from scalechat.load.fleet.messages import (
    Account,
    Asking,
    Begin,
    Clock,
    End,
    Forlorn,
    FromCoordinator,
    Go,
    Interrupt,
    Lost,
    Others,
    Pong,
    Ready,
    Sent,
)
from scalechat.load.fleet.post import Post
from scalechat.load.plan import Plan
from scalechat.load.recorder import Recorder

EXCHANGE_S: Final = 10.0
"""Beyond the drain, so long for the accounts of the others: they drain as long as we do, and a lost one is told of."""


class Membership:
    """See `scalechat.load.company.Company` for what a run asks of it; `take` feeds it."""

    def __init__(
        self, plan: Plan, post: Post, interruption: Interruption, clock: ClockOffset, *, drain_s: float
    ) -> None:
        self._plan = plan
        self._post = post
        self._interruption = interruption
        self._clock = clock
        self._patience_s = 2 * drain_s + EXCHANGE_S  # late messages are published in a drain's time as well
        self._recorder: Recorder | None = None
        self._ending: Ending | None = None
        self._accounts: dict[int, Account] = {}
        self._asks = False
        """The others were told that we have to know when they sent what."""
        self._is_asked = False
        """Somebody has to know when we did."""
        self._has_announced = False
        self._told: dict[int, int] = {}
        """See `Sendings.told`."""
        self._shifts: dict[int, int] = {}
        self._lost: set[int] = set()
        self._changed = trio.Event()
        self._begin_ns: int | None = None
        self._begun = trio.Event()
        self.go: Go | None = None
        """When the run starts, by the coordinator's clock."""
        self.has_go = trio.Event()
        self.has_clock = trio.Event()
        """The offset of the clock is known well enough to begin."""
        if clock.is_known:
            self.has_clock.set()

    def take(self, message: FromCoordinator) -> None:
        """The coordinator has said something."""
        match message:
            case Go():
                self.go = message
                self.has_go.set()
            case Begin(begin_ns=begin_ns):
                self._begin_ns = begin_ns + self._clock.offset_ns
                self._begun.set()
            case Others(index=index, account=account):
                self._accounts[index] = account
                self._learn(index)
            case Asking():
                self._is_asked = True
                self._tell_sendings()
            case Sent(times=times):
                self._hear_sendings(times)
            case Clock(index=index, offset_ns=offset_ns):
                self._shifts[index] = self._clock.offset_ns - offset_ns
                self._learn(index)
            case Lost(index=index):
                self._lost.add(index)
            case End(why=why):
                if self._ending is not None:
                    self._ending.end(why)
            case Interrupt():
                self._interruption.request()
            case Pong():
                self._clock.take(message)
                if self._clock.is_known:
                    self.has_clock.set()
            case _:
                pass
        self._changed.set()
        self._changed = trio.Event()

    # --- what the run asks --------------------------------------------------------------------------------------------

    async def listen(self, recorder: Recorder, ending: Ending) -> None:
        """See `Company`."""
        self._recorder, self._ending = recorder, ending
        for index in {*self._accounts, *self._shifts}:
            self._learn(index)

    async def gather(self) -> int | None:
        """See `Company`."""
        self._post.tell(Ready())
        await self._begun.wait()
        return self._begin_ns

    def forlorn(self, why: str) -> None:
        """See `Company`: the coordinator ends the run when everybody says so."""
        self._post.tell(Forlorn(why))

    def announce(self, recorder: Recorder, *, final: bool) -> None:
        """See `Company`."""
        self._has_announced = True
        self._ask(recorder)
        self._tell_sendings()
        split = not self._plan.rooms_are_whole
        published = [self._published(recorder, publisher) for publisher in self._publishers(self._plan.share.index)]
        unowed = recorder.unowed() if final else recorder.refusals  # an ack may come yet
        account = Account(published, list(unowed), final, list(recorder.refusals)) if split else Account([], [], final)
        self._post.tell(account)

    @property
    def has_told(self) -> bool:
        """See `Company`."""
        return all(index in self._lost or self._has_told(index) for index in self._others())

    async def part(self) -> None:
        """See `Company`."""
        with trio.move_on_after(self._patience_s):
            while not self._is_done():
                await self._changed.wait()

    # --- how ----------------------------------------------------------------------------------------------------------

    def _others(self) -> list[int]:
        return [index for index in range(self._plan.share.count) if index != self._plan.share.index]

    def _has_told(self, index: int) -> bool:
        """Also when it sent what it says that it has published, if we asked."""
        account = self._accounts.get(index)
        if account is None or self._recorder is None:
            return False
        known = self._recorder.roll.elsewhere.sendings.known
        told = zip(self._publishers(index), account.published, strict=False)  # of whole rooms nothing is said
        return not self._asks or all(known(publisher) >= published for publisher, published in told)

    def _is_done(self) -> bool:
        """Nobody awaits anything, and what has come and gone here meanwhile was asked about."""
        if self._recorder is not None:
            self._ask(self._recorder)
        final = (index in self._lost or self._accounts[index].final for index in self._others())
        return self.has_told and all(final)

    def _ask(self, recorder: Recorder) -> None:
        if recorder.roll.has_edges and not self._asks:
            self._asks = True
            self._post.tell(Asking())

    def _tell_sendings(self) -> None:
        """Before that nobody needs them, and the machine is busy."""
        if self._is_asked and self._has_announced and self._recorder is not None:
            for times in self._recorder.roll.sendings.told(self._told):
                self._post.tell(Sent(times))

    def _hear_sendings(self, times: Sequence[tuple[int, bytes]]) -> None:
        if self._recorder is not None:
            elsewhere = self._recorder.roll.elsewhere
            elsewhere.sendings.hear(times)
            if elsewhere.is_settled and self.has_told:
                self._recorder.settle()

    def _publishers(self, index: int) -> list[int]:
        plan = self._plan
        return [client for client in range(plan.publishers) if plan.worker_of(client) == index]

    def _published(self, recorder: Recorder, publisher: int) -> int:
        return recorder.roll.published_by[self._plan.room_of(publisher)][self._plan.slot_of(publisher)]

    def _learn(self, index: int) -> None:
        """Enter into the recorder what is known of another worker."""
        if self._recorder is None:
            return
        elsewhere = self._recorder.roll.elsewhere
        if index in self._shifts:
            elsewhere.shift_ns[index] = self._shifts[index]
        account = self._accounts.get(index)
        if account is None or not account.published:
            return
        unowed, refused = _by_publisher(account.unowed), _by_publisher(account.refused)
        for publisher, published in zip(self._publishers(index), account.published, strict=True):
            elsewhere.announce(
                publisher, published, unowed.get(publisher, ()), refused.get(publisher, ()), final=account.final
            )
        if elsewhere.is_settled:
            self._recorder.settle()


def _by_publisher(messages: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for publisher, number in messages:
        found.setdefault(publisher, []).append(number)
    return found
