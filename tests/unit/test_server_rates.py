"""Smoothed rates against arithmetic done by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.server.rates import Rate


def test_a_steady_counter_has_its_rate_from_the_second_look() -> None:
    rate = Rate(60.0).look(1000, 0.0)
    assert (rate.value, rate.seconds) == (0.0, 0.0)
    rate = rate.look(1500, 5.0)
    assert rate.value == pytest.approx(100.0)
    assert rate.seconds == 5.0


@given(st.lists(st.floats(0.01, 600), min_size=1, max_size=50), st.floats(0, 1e9))
def test_uneven_looks_make_no_difference(steps: list[float], per_second: float) -> None:
    now, counter = 0.0, 0.0
    rate = Rate(60.0).look(counter, now)
    for step in steps:
        now, counter = now + step, counter + per_second * step
        rate = rate.look(counter, now)
    assert rate.value == pytest.approx(per_second, rel=1e-5, abs=1e-3)
    assert rate.seconds == pytest.approx(sum(steps))


def test_an_old_rate_fades_with_the_window() -> None:
    rate = Rate(60.0).look(0, 0.0).look(6_000_000, 6000.0)
    assert rate.look(6_000_000, 6060.0).value == pytest.approx(1000 / math.e)


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    rate = Rate(60.0).look(10_000, 0.0).look(500, 5.0)
    assert rate.value == pytest.approx(100.0)


def test_a_pause_is_no_measurement() -> None:
    rate = Rate(60.0).look(0, 0.0).look(1000, 10.0).interrupted()
    assert rate.look(0, 100.0) == Rate(60.0, 10.0, (100.0, 0), rate._mean, rate._weight)
    assert rate.look(0, 100.0).look(100, 101.0).value == pytest.approx(100.0)


def test_no_time_passed() -> None:
    rate = Rate(60.0).look(0, 5.0)
    assert rate.look(10, 5.0) is rate
