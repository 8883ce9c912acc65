"""A Trio run that a plain, synchronous program drives: between two calls it stands still, tasks and all.

Hypothesis' state machines are such programs.
"""

import queue
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

import outcome
import trio

S = TypeVar("S")
R = TypeVar("R")


class Hosted(Generic[S]):
    """`open_subject` is entered at the start, `call` runs a function with what it gave, `close` ends it all."""

    def __init__(self, open_subject: Callable[[], AbstractAsyncContextManager[S]]) -> None:
        self._open_subject = open_subject
        self._passes: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._ended: outcome.Outcome[None] | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._passes.put,
            done_callback=self._note_end,
            host_uses_signal_set_wakeup_fd=True,
        )
        self._pump_until(lambda: self._token is not None)

    def call(self, function: Callable[[S], Awaitable[R]]) -> R:
        """Run `await function(subject)` in the Trio run and return or raise what it returns or raises."""
        answers: list[outcome.Outcome[R]] = []

        async def answer() -> None:
            answers.append(await outcome.acapture(function, self._subject))

        self._soon(lambda: self._nursery.start_soon(answer))
        self._pump_until(lambda: bool(answers))
        return answers[0].unwrap()

    def close(self) -> None:
        """Leave the subject and end the run; raises what it raises."""
        self._soon(self._stop.set)
        self._pump_until(lambda: False)
        assert self._ended is not None
        self._ended.unwrap()

    async def _main(self) -> None:
        self._stop = trio.Event()
        async with self._open_subject() as self._subject, trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            await self._stop.wait()

    def _soon(self, act: Callable[[], object]) -> None:
        assert self._token is not None
        self._token.run_sync_soon(act)

    def _pump_until(self, done: Callable[[], bool]) -> None:
        while self._ended is None and not done():
            self._passes.get()()

    def _note_end(self, ended: outcome.Outcome[None]) -> None:
        self._ended = ended
