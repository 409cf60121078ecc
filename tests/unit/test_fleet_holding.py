"""What a process knows of its lock: doubt, lease, end, and whether the thread that publishes has heard of it."""

import time

import pytest

from cdcd.errors import HoldingLost, NotOwner
from cdcd.fleet.connection import boottime
from cdcd.fleet.holding import Holding
from cdcd.fleet.session import Stored

SESSION = 77
LOCK = Stored(b"", 0, 5, 5, SESSION, 0.0)


@pytest.fixture
def holding() -> Holding:
    made = Holding()
    made.begin(LOCK)
    assert made.confirmed(boottime(), 10.0, made.doubts)
    made.check()
    return made


def test_nothing_is_held_before_the_lock_was_confirmed() -> None:
    holding = Holding()
    with pytest.raises(HoldingLost):
        holding.check()
    holding.extend(boottime(), 10.0)
    with pytest.raises(HoldingLost):
        holding.check()


def test_doubt_lasts_until_the_lock_is_confirmed_by_an_answer_to_a_later_question(holding: Holding) -> None:
    asked_before = holding.doubts
    holding.doubt("suspended")
    with pytest.raises(HoldingLost, match="suspended"):
        holding.check()
    holding.extend(boottime(), 10.0)  # the keeper's answers do not take it back
    assert not holding.confirmed(boottime(), 10.0, asked_before)
    with pytest.raises(HoldingLost):
        holding.check()
    assert holding.confirmed(boottime(), 10.0, holding.doubts)
    holding.check()


def test_an_answer_counts_from_when_the_question_was_sent() -> None:
    holding = Holding()
    holding.begin(LOCK)
    assert holding.confirmed(boottime() - 7.0, 10.0, holding.doubts)
    with pytest.raises(HoldingLost, match="lease"):
        holding.check()


def test_the_end_is_for_good(holding: Holding) -> None:
    holding.end("gone")
    assert holding.role == "waiting"
    holding.confirmed(boottime(), 10.0, holding.doubts)
    with pytest.raises(NotOwner, match="gone"):
        holding.check()


def test_a_lock_of_another_session_or_made_anew_is_another_one(holding: Holding) -> None:
    assert holding.is_lock(LOCK, SESSION)
    assert not holding.is_lock(None, SESSION)
    assert not holding.is_lock(LOCK, SESSION + 1)
    assert not holding.is_lock(Stored(b"", 0, 6, 6, SESSION, 0.0), SESSION)


def test_a_thread_that_does_not_look_is_noticed_once(holding: Holding) -> None:
    assert not holding.unheard(0.0), "the lease holds"
    holding._lease.end()
    assert not holding.unheard(0.02)
    deadline = time.monotonic() + 5
    while not holding.unheard(0.02):
        assert time.monotonic() < deadline
    assert not holding.unheard(0.0)


def test_a_thread_that_has_looked_is_not(holding: Holding) -> None:
    holding._lease.end()
    with pytest.raises(HoldingLost):
        holding.check()
    assert not holding.unheard(0.0)
    assert not holding.unheard(0.0)


def test_the_end_of_a_holding_has_to_be_heard_of_too(holding: Holding) -> None:
    """The session is over while the hot thread hangs: it must not wake up as an owner."""
    holding.end("the ZooKeeper session is over")
    assert not holding.unheard(0.0)
    assert holding.unheard(-1.0)
