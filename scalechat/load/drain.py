"""The drain: waiting for what is under way, until everything has come, nothing more can come, or time is up."""

from __future__ import annotations

from typing import Final

import trio

from scalechat.load.attendance import Attendance
from scalechat.load.company import Company
from scalechat.load.recorder import Recorder

GRACE_S: Final = 0.2
"""When everything has arrived, so long for whatever arrives once more."""
LOOK_S: Final = 0.02
"""Between two looks whether the drain is over."""


class Drain:
    """Of one process; the others of its company may still publish."""

    def __init__(self, recorder: Recorder, attendance: Attendance, company: Company) -> None:
        self._recorder = recorder
        self._attendance = attendance
        self._company = company

    async def wait(self, most_s: float, hurry: trio.Event) -> None:
        """At most so long, and not beyond the first look at which somebody is in a hurry."""
        counters, told = self._recorder.counters, None
        with trio.move_on_after(most_s):
            while not hurry.is_set() and self._attendance.has_anybody:
                # Who comes back now publishes what was due, and an answer may be a refusal.
                state = counters.published, counters.rejected, self._recorder.roll.has_edges
                if told != state:
                    told = state
                    self._company.announce(self._recorder, final=False)
                if not self._is_under_way():
                    await trio.sleep(GRACE_S)
                    return
                await trio.sleep(LOOK_S)

    def _is_under_way(self) -> bool:
        """Whether anything can still come."""
        if not self._company.has_told:
            return True
        if not self._recorder.roll.elsewhere.is_settled:
            self._recorder.settle()
        recorder, counters = self._recorder, self._recorder.counters
        if recorder.acknowledged and counters.published > counters.acked + counters.rejected:
            unanswered = recorder.broadcasts.unacknowledged()
            if any(self._attendance.is_answered(publisher, sent_ns) for publisher, _number, sent_ns in unanswered):
                return True
        if self._attendance.is_full and not recorder.roll.has_excused():
            return recorder.outstanding > 0
        # Who is gone gets nothing any more, and a refused message that came all the same stands for no other.
        return self._attendance.awaits
