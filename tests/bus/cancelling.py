"""Cancel a call at any one of its awaits."""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import trio


async def cancelled_at(nth: int, call: Callable[[], Coroutine[Any, Any, object]]) -> tuple[bool, bool]:
    """Run `call()` and cancel it when it waits for the `nth` time; 0 cancels it before it begins.

    Returns (it came to its end, it waited that often): a call without an `nth` wait is not cancelled at all.
    """
    reached = nth == 0
    done = False
    with trio.CancelScope() as scope:
        if reached:
            scope.cancel()

        def note(waits: int) -> None:
            nonlocal reached
            if waits == nth:
                reached = True
                scope.cancel()

        await _observed(call(), note)
        done = True
    return done, reached


@types.coroutine
def _observed(coroutine: Coroutine[Any, Any, object], note: Callable[[int], None]) -> Generator[Any, Any, object]:
    """Pass everything between Trio and the coroutine through, and tell of each wait before it begins."""
    waits = 0
    send: Callable[[], object] = lambda: coroutine.send(None)  # noqa: E731 (it changes at every turn)
    while True:
        try:
            trap = send()
        except StopIteration as end:
            return end.value
        waits += 1
        note(waits)
        try:
            answer = yield trap
        except BaseException as error:  # noqa: BLE001 (passed on)
            send = _thrower(coroutine, error)
        else:
            send = _sender(coroutine, answer)


def _sender(coroutine: Coroutine[Any, Any, object], answer: object) -> Callable[[], object]:
    return lambda: coroutine.send(answer)


def _thrower(coroutine: Coroutine[Any, Any, object], error: BaseException) -> Callable[[], object]:
    return lambda: coroutine.throw(error)


async def at_every_wait(scenario: Callable[[int], Awaitable[bool]], limit: int = 100) -> None:
    """Run `scenario(nth)` for 0, 1, 2… until it returns False: the call under test has no `nth` wait."""
    for nth in range(limit):
        if not await scenario(nth):
            return
    raise AssertionError(f"still waiting after {limit} waits")
