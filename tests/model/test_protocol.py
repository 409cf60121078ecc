"""The protocol of docs/coordination.md holds in every reachable state, and each of its protective steps is needed.

A step that is left out must break an invariant that is named here. Some are second lines of defence: they can be left
out alone, but not together with the first line. (The release's look at the epoch node is a third one, behind the checks of
standby and schedule node: nothing breaks without it.)
"""

from typing import get_args

import pytest

from tests.instances import Figures
from tests.model.explore import explore
from tests.model.steps import Bounds, Invariant, Protection

TINY = Bounds(rows=1, locks=1)
SMALL = Bounds(rows=1, locks=2)
TAKE_OVER = Bounds(rows=2, locks=2)
LATEST = Bounds(rows=2, locks=2, latest=True)
REBUILT_EARLY = Bounds(rows=1, locks=1, rebuilds=1, czxid=6)
REBUILT = Bounds(rows=1, locks=2, rebuilds=1, czxid=6)
HAND_OVER = Bounds(rows=1, locks=1, handovers=1)
HAND_OVER_AND_LOSS = Bounds(rows=1, locks=2, handovers=1)
HAND_OVERS = Bounds(rows=1, locks=1, handovers=2)

MUTATIONS: dict[Protection, tuple[Bounds, Invariant]] = {
    "the schedule decides who runs": (TINY, "never stuck"),
    "the epoch is above the newest record": (REBUILT_EARLY, "never stuck"),
    "lock and lease are checked before init": (SMALL, "without the lock at most one init and one commit"),
    "a waiting successor does not init": (TINY, "without the lock at most one init and one commit"),
    "init comes before the position is read": (TAKE_OVER, "no older epoch after a newer one"),
    "the position is read up to the watermark": (TINY, "the position is that of the rows"),
    "an unreached watermark leads back to init": (SMALL, "never stuck"),
    "a newer epoch's record ends the older owner": (SMALL, "no older epoch after a newer one"),
    "an equal epoch's record of another nonce ends the older owner": (REBUILT, "one epoch, one holding"),
    "the claim is committed before the dump": (LATEST, "rows exactly once, in order"),
    "the lock is checked before the dump": (SMALL, "no dump without the lock"),
    "lock and lease are checked before each commit": (TAKE_OVER, "without the lock at most one init and one commit"),
    "rows and position are one transaction": (TINY, "the position is that of the rows"),
    "an unknown result leads to a new producer": (TINY, "the position is that of the rows"),
    "an unknown result leads to the stored position": (TINY, "rows exactly once, in order"),
    "an unknown result leads to the comparison of epochs": (REBUILT, "no older epoch after a newer one"),
    "being fenced leads to the stored position": (LATEST, "rows exactly once, in order"),
    "being fenced leads to the comparison of epochs": (REBUILT, "no older epoch after a newer one"),
    "brokers verify transactions": (TINY, "rows exactly once, in order"),
    "the owner waits for the standby": (HAND_OVER, "no stop without a standby"),
    "the release checks the standby": (HAND_OVER, "no stop without a standby"),
    "the standby node carries the present generation": (HAND_OVERS, "a hand-over can be completed"),
    "the taker of the lock removes its standby": (HAND_OVER_AND_LOSS, "nobody removes another's lock"),
    "no restart while a standby is to take over": (HAND_OVER, "no start beside a standby that is to take over"),
    "a dead worker's session is closed, not its lock deleted": (SMALL, "nobody removes another's lock"),
}

LARGE_MUTATIONS: dict[Protection, tuple[Bounds, Invariant]] = {
    "the epoch is claimed in the lock's session": (
        Bounds(rows=1, locks=2, handovers=1, rebuilds=1, czxid=6),
        "a hand-over can be completed",
    ),
}
"""What takes minutes to find."""

SECOND_LINES: dict[Protection, tuple[Protection, Bounds, Invariant]] = {
    "the epoch is above the epoch node": ("the epoch is claimed in the lock's session", REBUILT_EARLY, "never stuck"),
    "the epoch is written by compare-and-set": (
        "the epoch is claimed in the lock's session",
        SMALL,
        "the epoch node only grows",
    ),
    "the epoch is above the lock's czxid": ("the epoch is above the epoch node", SMALL, "never stuck"),
}
"""Second line -> first line, and what is broken when both are left out and is not when either is."""


def test_every_protection_is_taken_away_once() -> None:
    assert sorted(MUTATIONS.keys() | LARGE_MUTATIONS.keys() | SECOND_LINES.keys()) == sorted(get_args(Protection))


@pytest.mark.parametrize("bounds", [TAKE_OVER, LATEST, REBUILT, HAND_OVER_AND_LOSS, HAND_OVERS], ids=repr)
def test_the_protocol_holds(bounds: Bounds) -> None:
    found = explore(bounds)
    assert found.complete
    assert not found.broken, found.account()


@pytest.mark.must_show("4.13")
@pytest.mark.parametrize("protection", MUTATIONS)
def test_a_protection_left_out_breaks(protection: Protection) -> None:
    bounds, invariant = MUTATIONS[protection]
    found = explore(bounds, {protection}, until={invariant})
    assert invariant in found.broken, f"{found.states} states without harm; broken: {found.account()}"


@pytest.mark.prove
@pytest.mark.must_show("4.13")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("protection", LARGE_MUTATIONS)
def test_a_protection_left_out_breaks_a_larger_world(protection: Protection) -> None:
    bounds, invariant = LARGE_MUTATIONS[protection]
    assert invariant in explore(bounds, {protection}, until={invariant}).broken


@pytest.mark.must_show("4.13")
@pytest.mark.parametrize("second", SECOND_LINES)
def test_a_second_line_of_defence(second: Protection) -> None:
    first, bounds, invariant = SECOND_LINES[second]
    for alone in (first, second):
        assert invariant not in explore(bounds, {alone}).broken
    assert invariant in explore(bounds, {first, second}).broken


@pytest.mark.prove
@pytest.mark.must_show("4.13")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(rows=2, locks=2, rebuilds=1, czxid=6),
        Bounds(rows=2, locks=3, latest=True),
        Bounds(rows=2, locks=2, handovers=1),
        Bounds(rows=1, locks=2, handovers=1, rebuilds=1, czxid=6),
        Bounds(rows=1, workers=3, locks=2),
        Bounds(rows=1, workers=3, locks=1, handovers=1),
    ],
    ids=repr,
)
def test_the_protocol_holds_in_a_larger_world(bounds: Bounds, figures: Figures) -> None:
    found = explore(bounds)
    figures({"bounds": bounds._asdict(), "states": found.states, "broken": list(found.broken)})
    assert found.complete
    assert not found.broken, found.account()
