"""The end of a run's accounts: what never came, and what was owed to nobody after all."""

from __future__ import annotations

from collections.abc import Sequence

from scalechat.load.broadcast import Broadcast
from scalechat.load.recorder import Recorder


def close_accounts(recorder: Recorder, *, never_ns: int, now_ns: int) -> list[Broadcast]:
    """Close every account and return the messages that were left. Call it before the last `end_window`, once.

    Every expected delivery that did not come enters `delivery` as the time it was waited for: from its intended time
    until now, and at least `never_ns`. A server that drops cannot look fast. Of the kinds that stand apart only what
    came is in their histograms; what did not is in the ledger, as everybody's is. A message that was never
    acknowledged is owed to nobody, and enters `ack_rtt` in the same way.
    """
    recorder.flush()
    recorder.has_ended = True
    left = recorder.broadcasts.finish()
    _excuse(recorder, left)
    window = recorder.windows.of
    for message in recorder.count(left):
        if message.unacked:
            window(message.phase, "ack_rtt").add_many(max(never_ns, now_ns - message.sent_ns), 1)
        if message.missing:
            waited_ns = max(never_ns, now_ns - message.intended_ns)
            window(message.phase, "delivery").add_many(waited_ns, message.missing_here)
            window(message.phase, "broadcast_last").add_many(waited_ns, message.missing_here > 0)
            if message.missing_here and message.first_ns is None:
                window(message.phase, "broadcast_first").add_many(waited_ns, 1)
    return left


def _excuse(recorder: Recorder, left: Sequence[Broadcast]) -> None:
    """Who got a message that was never acknowledged was to get it, and nobody else."""
    elsewhere = recorder.roll.elsewhere.unowed
    for message in left:
        if message.unacked:
            recorder.counters.expected -= message.missing
            recorder.roll.excuse(message.publisher, message.number)
        if message.unacked or message.number in elsewhere.get(message.publisher, ()):
            message.expected = message.delivered
    recorder.settle()  # who was away has left by now
