"""When a server's load-balance node is written."""

from dataclasses import replace

import pytest

from cdcd.fleet.nodes import InstanceLoad, Load, StartFailure
from cdcd.server.load import OLDEST, left_or_came, out_of_date

X = InstanceLoad("running", bytes_per_second=100_000, rows_per_second=1000, measured=60, lag_seconds=0.0, epoch=7)
LOAD = Load(at=1000.0, capacity=2.0, instances={"x": X})
FAILURE = StartFailure("worker-crashed", "retry", "", "", 0.0, 1, 1)


def test_nothing_new_is_not_written() -> None:
    later = replace(LOAD, at=LOAD.at + OLDEST - 1)
    assert not left_or_came(LOAD, later)
    assert not out_of_date(LOAD, later)


@pytest.mark.parametrize(
    "now",
    [
        replace(LOAD, instances={}),
        replace(LOAD, instances={"x": X, "y": X}),
        replace(LOAD, instances={"x": replace(X, state="parked")}),
        replace(LOAD, instances={"x": replace(X, epoch=8)}),
        replace(LOAD, failures={"y": FAILURE}),
        replace(LOAD, stopping=True),
        replace(LOAD, labels={"zone": "a"}),
        replace(LOAD, capacity=3.0),
    ],
)
def test_what_comes_goes_or_changes_hands_is_written_at_once(now: Load) -> None:
    assert left_or_came(LOAD, now)
    assert out_of_date(LOAD, now)


@pytest.mark.parametrize(
    ("now", "matters"),
    [
        (replace(X, bytes_per_second=109_000), False),
        (replace(X, bytes_per_second=112_000), True),
        (replace(X, rows_per_second=800), True),
        (replace(X, measured=65), False),
        (replace(X, measured=90), True),
        (replace(X, lag_seconds=1.5), False),
        (replace(X, lag_seconds=3.0), True),
        (replace(X, lag_seconds=None), True),
    ],
)
def test_figures_are_written_in_their_turn_if_they_matter(now: InstanceLoad, matters: bool) -> None:
    load = replace(LOAD, instances={"x": now})
    assert not left_or_came(LOAD, load)
    assert out_of_date(LOAD, load) is matters


def test_small_figures_do_not_flicker() -> None:
    small = replace(LOAD, instances={"x": InstanceLoad("running", rows_per_second=1.0, bytes_per_second=300)})
    now = replace(LOAD, instances={"x": InstanceLoad("running", rows_per_second=4.0, bytes_per_second=900)})
    assert not out_of_date(small, now)


def test_it_is_written_now_and_then_in_any_case() -> None:
    assert out_of_date(LOAD, replace(LOAD, at=LOAD.at + OLDEST))
    assert out_of_date(None, LOAD)
