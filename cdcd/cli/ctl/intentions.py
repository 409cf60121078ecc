"""What the scheduler would do now: worked out here, from the same nodes and by the same functions."""

import time

from cdcd.cli.ctl.reach import Reach
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.decision import decide
from cdcd.fleet.plan import Plan
from cdcd.fleet.scheduler import policy_of
from cdcd.fleet.snapshot import Snapshot, SnapshotReader


def intentions(reached: Reach) -> Plan:
    """The plan of this moment. Differs from the scheduler's if its settings under `scheduling` are others than these."""
    return look_ahead(reached)[1]


def look_ahead(reached: Reach) -> tuple[Snapshot, Plan]:
    """What the plan rests on, and the plan."""
    cluster = reached.operators.cluster() or reached.settings.cluster
    snapshot = SnapshotReader(Cache(reached.session), cluster).read()
    return snapshot, decide(snapshot, time.time(), policy_of(reached.settings.scheduling), _elected(reached))


def _elected(reached: Reach) -> float:
    """When the scheduler's term began; nobody elected: now."""
    leader = reached.session.get(paths.SCHEDULER_EPOCH)
    return leader.changed_at if leader else time.time()
