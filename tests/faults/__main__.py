"""``python -m tests.faults [--long] [--only WORD] [--seed N]``: play faults, print their table; exit 1 if one fails."""

from __future__ import annotations

import argparse
import sys

import trio

from .catalogue import FAULTS, Fault
from .play import HEADING, play
from .stage import NotRecovered


async def _play_all(faults: list[Fault], *, long: bool, seed: int) -> bool:
    passed = True
    print(f"seed {seed}\n\n{HEADING}", flush=True)  # noqa: T201
    for fault in faults:
        try:
            row = await play(fault, fault.long_rounds if long else fault.short_rounds, seed)
        except* NotRecovered as failed:
            passed = False
            print(f"| {fault.name} | FAIL: {failed.exceptions[0]}", flush=True)  # noqa: T201
        else:
            passed &= row.passed
            print(row, flush=True)  # noqa: T201
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--long", action="store_true", help="as many rounds as the promises are made for")
    parser.add_argument("--only", default="", metavar="WORD", help="faults with this word in their name")
    parser.add_argument("--seed", type=int, default=1, help="which node is hit, and when clients come back")
    arguments = parser.parse_args()
    chosen = [fault for fault in FAULTS if arguments.only.lower() in fault.name.lower()]
    if not chosen:
        parser.error(f"no fault is called {arguments.only!r}; there are: {', '.join(fault.name for fault in FAULTS)}")
    return 0 if trio.run(lambda: _play_all(chosen, long=arguments.long, seed=arguments.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
