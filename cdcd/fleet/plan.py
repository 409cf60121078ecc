"""Which server should run which instance: a pure function of what the scheduler has read."""

from collections.abc import Mapping

from cdcd.fleet.nodes import Schedule
from cdcd.fleet.planning.types import Change, Plan, PlannedInstance, PlannedServer, Policy

__all__ = ["Change", "Plan", "PlannedInstance", "PlannedServer", "Policy", "plan"]


def plan(  # noqa: PLR0917 - what it knows is all that it has: the snapshot, the clock, the settings
    instances: Mapping[str, PlannedInstance],
    servers: Mapping[str, PlannedServer],
    schedule: Mapping[str, Schedule],
    now: float,
    policy: Policy,
    since: float,
) -> Plan:
    """What to change now. Same answer for the same input; `since` is when this scheduler was elected (for `settle`)."""
    raise NotImplementedError
