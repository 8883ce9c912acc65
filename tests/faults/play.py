"""One fault, played its rounds: the row of the table."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from .catalogue import STEADY_S, Fault
from .ledger import Account
from .stage import raised


@dataclass(frozen=True, slots=True)
class Row:
    fault: Fault
    rounds: int
    account: Account
    refused: int
    """Sends that got an error or no answer."""
    left_behind: int
    """Tasks of the nodes that outlived everybody's leaving."""
    recovery_s: list[float]
    """Of each round."""

    @property
    def passed(self) -> bool:
        return self.account.is_clean and not self.left_behind and (self.fault.tells or not self.account.told)

    def __str__(self) -> str:
        a = self.account
        longest = max(self.recovery_s, default=0.0)
        verdict = "pass" if self.passed else "FAIL"
        return (
            f"| {self.fault.name} | {self.rounds} | {a.sent} | {a.acked} | {self.refused} | {a.heard} "
            f"| {a.lost} | {a.told} | {a.duplicated} | {a.reordered} | {a.phantom} | {a.holes} | {self.left_behind} "
            f"| {longest:.2f} | {verdict} |"
        )


HEADING = (
    "| fault | rounds | sent | acked | refused | heard | lost | told | dup | reorder | phantom | holes | left tasks "
    "| longest recovery, s | |\n|---|" + "---:|" * 13 + "---|"
)


async def play(fault: Fault, rounds: int, seed: int) -> Row:
    """Play `rounds` of the fault on a stage of its own. Raises `NotRecovered`."""
    recovery_s = []
    async with raised(seed, *fault.options) as stage:
        for number in range(rounds):
            await trio.sleep(STEADY_S)
            recovery_s.append(await fault.inject(stage, number))
        account = await stage.settled()
        return Row(fault, rounds, account, stage.crew.refused, await stage.left_behind(), recovery_s)
