"""Must-show 3.5: kill -9 at random moments and at each failpoint."""

import os

import pytest

from cdcd.observe.failpoints import NAMES
from deploy.rig.load import Shape
from tests.chaos.kill_loop import FAILPOINTS, Faults, KillLoop, judged
from tests.instances import Figures, MakeInstance

SEED = int(os.environ.get("CHAOS_SEED", "20261122"))

OF_THE_FLEET = (
    "lock.acquired",
    "mirror.before_write",
    "mirror.after_write",
    "zk.suspended",
    "handover.drained",
    "handover.released",
    "supervisor.after_spawn",
    "scheduler.after_plan",
    "scheduler.mid_writes",
)
"""Met in test_worker_fleet.py, test_supervisor.py and test_scheduler_terms.py."""

OF_XA = ("held.before_reread", "held.mid_reread")
"""Met in test_xa.py."""

SMALL_PARTS = {"commit": {"max_bytes": "256KiB"}}


def test_every_failpoint_is_in_the_loop() -> None:
    """Names are a contract: one that vanishes or is new must be met here, or in the fleet's tests."""
    assert sorted(FAILPOINTS + OF_THE_FLEET + OF_XA) == sorted(NAMES)


@pytest.mark.must_show("3.5")
@pytest.mark.timeout(600)
def test_kills_lose_and_repeat_nothing(make_instance: MakeInstance, figures: Figures) -> None:
    instance = make_instance("kills", overrides={"sink": SMALL_PARTS})
    loop = KillLoop(instance, SEED, Faults(kills=5), Shape(huge_rows=8_000, huge_every=40))
    figures(judged(loop, "test_kills_lose", instance).figures)


@pytest.mark.prove
@pytest.mark.must_show("3.5")
@pytest.mark.timeout(1800)
def test_thirty_kills_lose_and_repeat_nothing(make_instance: MakeInstance, figures: Figures) -> None:
    instance = make_instance("kills30", overrides={"sink": SMALL_PARTS})
    loop = KillLoop(instance, SEED, Faults(kills=30), Shape(huge_rows=50_000, huge_every=100))
    figures(judged(loop, "test_thirty_kills", instance).figures)
