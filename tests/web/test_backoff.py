"""When to come back."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from scalechat.wire.closing import CLOSINGS, reason_text, retry_after_ms, should_reconnect

_FROM_PAGE = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ask(page: Page, expression: str, *arguments: object) -> Any:
    return page.evaluate(f"async (a) => {{ const m = await import('/backoff.js'); return {expression}; }}", arguments)


def test_the_page_and_the_server_have_the_same_table_of_endings(modules: Page) -> None:
    """Every close code means the same on both sides: its words and whether to come back."""
    theirs = ask(modules, "m.CLOSINGS")
    ours = {str(code): {"reason": c.reason, "reconnect": c.reconnect} for code, c in CLOSINGS.items()}
    assert theirs == ours


@pytest.mark.parametrize("code", [1000, 1006, 1008, 1012, 3000, 4001, 4012, 4999])
def test_known_and_unknown_codes_are_judged_alike(modules: Page, code: int) -> None:
    """An unknown code is no reason to stay away."""
    assert ask(modules, "m.shouldReconnect(a[0])", code) == should_reconnect(code)


def test_the_wait_in_a_reason_is_read_as_it_was_written(modules: Page) -> None:
    """What `reason_text` writes into a Close frame, the page reads; other words mean nothing."""
    for closing in CLOSINGS.values():
        reason = reason_text(closing, detail="long words " * 12, retry_after_ms=1234)
        assert ask(modules, "m.retryAfterMs(a[0])", reason) == 1234
    for reason in ("", "too slow", "; retry after soon ms", "; retry after 5 ms, or not"):
        assert ask(modules, "m.retryAfterMs(a[0])", reason) is retry_after_ms(reason) is None


@_FROM_PAGE
@given(
    attempt=st.integers(0, 5000),
    after_ms=st.none() | st.integers(0, 100_000),
    random=st.floats(0, 1, exclude_max=True),
)
def test_the_wait_is_jittered_over_a_capped_ceiling(
    modules: Page, attempt: int, after_ms: int | None, random: float
) -> None:
    """The wait is the server's wish plus a share, anywhere from none to all, of min(cap, base · 2^attempt)."""
    wait = ask(modules, "m.backoffMs(a[0], {afterMs: a[1], random: () => a[2]})", attempt, after_ms, random)
    base, cap = ask(modules, "[m.BASE_MS, m.CAP_MS]")
    assert wait == pytest.approx((after_ms or 0) + random * min(cap, base * 2 ** min(attempt, 30)))
