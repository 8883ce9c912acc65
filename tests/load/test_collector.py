"""The garbage collector during a run: quiet, and afterwards as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from scalechat.load.collector import RARELY, YOUNG, quiet_collector


@pytest.fixture(autouse=True)
def usual_thresholds() -> Iterator[None]:
    """Python's own: whole fleets in one process leave others behind."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_full_collections_are_rare_during_a_run_and_as_before_after_it() -> None:
    """What is young and short-lived is freed all the same."""
    with quiet_collector():
        assert gc.get_threshold() == (YOUNG, 10, RARELY)
    assert gc.get_threshold() == (700, 10, 10)


def test_what_was_frozen_is_looked_at_again_after_a_run_that_failed() -> None:
    """Several runs in one process (a capacity search) do not pile up garbage."""

    def fail() -> None:
        with quiet_collector():
            gc.freeze()
            assert gc.get_freeze_count() > 0
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, (700, 10, 10))
