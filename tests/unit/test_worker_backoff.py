"""Pauses between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.worker.instance import FIRST_PAUSE, HEALTHY, LONGEST_PAUSE, Backoff


def test_the_first_time_without_a_pause_then_longer_and_longer() -> None:
    backoff, now, pauses = Backoff(), 1000.0, []
    for _ in range(12):
        pauses.append(backoff.next(now))
        now += pauses[-1]
    assert pauses[0] == 0
    for pause, middle in zip(pauses[1:], [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30], strict=True):
        assert 0.75 * middle <= pause <= 1.25 * middle


def test_a_healthy_while_is_a_new_start() -> None:
    backoff = Backoff()
    for _ in range(8):
        backoff.next(1000.0)
    assert backoff.next(1000.0) >= 0.75 * LONGEST_PAUSE
    assert backoff.next(1000.0 + 1.25 * LONGEST_PAUSE + HEALTHY + 1) == 0
    assert backoff.next(1200.0) <= 1.25 * FIRST_PAUSE


def test_trouble_that_comes_again_soon_is_no_new_start() -> None:
    backoff, now = Backoff(), 1000.0
    for _ in range(6):
        now += backoff.next(now) + HEALTHY / 2
    assert backoff.next(now) >= 0.75 * 16


@given(st.lists(st.floats(0, 200), max_size=30))
def test_bounded(between: list[float]) -> None:
    backoff, now = Backoff(), 0.0
    for seconds in between:
        pause = backoff.next(now)
        assert 0 <= pause <= 1.25 * LONGEST_PAUSE
        now += pause + seconds


def test_many_do_not_come_back_in_step() -> None:
    pauses = set()
    for _ in range(20):
        backoff = Backoff()
        backoff.next(0.0)
        pauses.add(backoff.next(0.0))
    assert len(pauses) > 15
