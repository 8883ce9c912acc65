"""Bounded waiting for what the operating system or another process does: there is no event to wait for."""

from collections.abc import Awaitable, Callable

import pytest
import trio

WITHIN_S = 20.0  # Ordinarily milliseconds; a busy machine is no finding.


async def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds, or fail naming `what`."""
    with trio.move_on_after(WITHIN_S):
        while not condition():  # noqa: ASYNC110  Nobody sets an event when the kernel is done.
            await trio.sleep(0.01)
        return
    pytest.fail(f"not within {WITHIN_S:g} s: {what}")


async def wait_until_async(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """`wait_until` for a condition that has to ask somebody."""
    with trio.move_on_after(WITHIN_S):
        while not await condition():  # noqa: ASYNC110
            await trio.sleep(0.02)
        return
    pytest.fail(f"not within {WITHIN_S:g} s: {what}")
