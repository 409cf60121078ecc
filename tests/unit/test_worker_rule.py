"""When a Kafka transaction is committed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.worker.rule import POSITION_INTERVAL, CommitRule, Moment

RULE = CommitRule(min_interval=0.005, max_interval=0.25, max_bytes=1000, part_interval=15.0)
AT = Moment(
    now=100.0,
    last_commit=99.0,
    open_since=99.99,
    open_bytes=10,
    at_boundary=True,
    rows_done=0,
    idle=True,
    moved=True,
)
"""Caught up, between transactions, with a message to commit."""

MOMENTS = st.builds(
    Moment,
    now=st.just(1000.0),
    last_commit=st.floats(0, 1000),
    open_since=st.none() | st.floats(0, 1000),
    open_bytes=st.integers(0, 3000),
    at_boundary=st.booleans(),
    rows_done=st.integers(0, 3),
    idle=st.booleans(),
    moved=st.booleans(),
)


@pytest.mark.parametrize(
    ("changed", "due"),
    [
        ({}, True),
        ({"last_commit": 99.996}, False),  # min_interval
        ({"last_commit": 99.99}, True),
        ({"idle": False}, False),  # backlog: in portions
        ({"idle": False, "open_since": 99.75}, True),
        ({"idle": False, "open_bytes": 1000}, True),
        ({"idle": False, "open_bytes": 999}, False),
        # Inside a transaction: by size or a quarter of Kafka's time limit.
        ({"at_boundary": False, "rows_done": 5}, False),
        ({"at_boundary": False, "rows_done": 5, "open_since": 99.0}, False),
        ({"at_boundary": False, "rows_done": 5, "open_bytes": 1000}, True),
        ({"at_boundary": False, "rows_done": 5, "open_since": 85.0}, True),
        ({"at_boundary": False, "rows_done": 0, "open_bytes": 9999, "open_since": 1.0}, False),
        ({"at_boundary": False, "rows_done": 5, "open_since": None}, False),
        # Nothing published, but the position moved: once a second.
        ({"open_since": None}, True),
        ({"open_since": None, "last_commit": 99.01}, False),
        ({"open_since": None, "moved": False, "last_commit": 0.0}, False),
        ({"open_since": None, "idle": False}, True),
    ],
)
def test_when_it_is_due(changed: dict[str, object], due: bool) -> None:
    assert RULE.due(replace(AT, **changed)) is due  # type: ignore[arg-type]


@given(MOMENTS)
def test_parts_only_inside_transactions_with_rows(at: Moment) -> None:
    """A part says how many rows of its transaction are done: without any there is nothing to say."""
    if not at.at_boundary and (at.rows_done == 0 or at.open_since is None):
        assert not RULE.due(at)


@given(MOMENTS)
def test_what_is_due_inside_is_due_at_a_boundary(at: Moment) -> None:
    if RULE.due(replace(at, at_boundary=False)):
        assert RULE.due(replace(at, at_boundary=True))


@given(MOMENTS)
def test_nothing_new_is_never_stored(at: Moment) -> None:
    if at.open_since is None and not at.moved:
        assert not RULE.due(at)


@given(MOMENTS)
def test_waiting_makes_it_due(at: Moment) -> None:
    """At a boundary no message and no moved position waits for ever, however busy the source is."""
    later = replace(at, now=at.now + max(POSITION_INTERVAL, RULE.max_interval), at_boundary=True)
    assert RULE.due(later) is (at.open_since is not None or at.moved)


@given(MOMENTS)
def test_a_stalled_source_holds_nobody_back_for_ever(at: Moment) -> None:
    later = replace(at, now=at.now + RULE.part_interval, at_boundary=False, rows_done=1)
    assert RULE.due(later) is (at.open_since is not None)


@given(MOMENTS)
def test_boundaries_are_wanted_before_a_part_is_cut(at: Moment) -> None:
    """Decoding stops at the end of a transaction in time, so that only a transaction larger than the limits is cut."""
    if not at.at_boundary and RULE.due(at):
        assert RULE.wants_boundary(at.now, at.open_since, at.open_bytes)


@pytest.mark.parametrize(
    ("last_commit", "open_since", "at_boundary", "seconds"),
    [
        (99.0, None, True, 0.1),
        (99.998, None, True, 0.1),
        (99.998, 99.9, True, 0.003),
        (99.0, 99.9, True, 0.0),
        (99.998, 99.9, False, 0.1),
    ],
)
def test_patience_ends_when_a_commit_is_due(
    last_commit: float, open_since: float | None, at_boundary: bool, seconds: float
) -> None:
    patience = RULE.patience(100.0, last_commit, open_since, at_boundary=at_boundary, longest=0.1)
    assert patience == pytest.approx(seconds)
