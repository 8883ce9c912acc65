"""When a worker is started again, and when that is no use."""

from scalechat.server.supervisor.restarts import FAILED_STARTS, LONGEST_WAIT_S, STABLE_S, Restarts


def test_waits_double_up_to_a_bound() -> None:
    """A worker that keeps crashing costs less and less."""
    restarts = Restarts()
    waits = [restarts.ended(1.0) for _ in range(10)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == LONGEST_WAIT_S


def test_a_worker_that_served_for_long_is_started_at_once_again() -> None:
    """The waits begin anew."""
    restarts = Restarts()
    for _ in range(5):
        restarts.ended(1.0)
    assert restarts.ended(STABLE_S) == 0.1


def test_failed_starts_in_a_row_end_it() -> None:
    """One that served in between is another story."""
    restarts = Restarts()
    for _ in range(FAILED_STARTS - 1):
        assert restarts.ended(None) is not None
    assert restarts.ended(1.0) is not None
    assert [restarts.ended(None) is None for _ in range(FAILED_STARTS)] == [False] * (FAILED_STARTS - 1) + [True]


def test_one_that_was_told_to_go_has_not_failed() -> None:
    """It counts as a restart, and as nothing else."""
    restarts = Restarts()
    restarts.left()
    assert (restarts.total, restarts.ended(1.0)) == (1, 0.1)
