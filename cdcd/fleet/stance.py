"""What a worker has to do, by the schedule node and the nodes of its instance (coordination.md, "Hand-over"). Pure."""

from typing import Literal

from cdcd.fleet.nodes import Schedule, Standby

Order = Literal["hand_over", "leave", "reconfigure"]
Stance = Literal["leave", "take", "stand_by", "wait"]


def order(server: str, schedule: Schedule | None, standby: Standby | None, *, redefined: bool) -> Order | None:
    """For the worker on `server` that owns the lock; `redefined`: the definition has changed since it was read."""
    if schedule is not None and schedule.server == server and _ready(schedule, standby):
        return "hand_over"
    if schedule is None or not schedule.names(server):
        return "leave"
    return "reconfigure" if redefined else None


def stance(server: str, schedule: Schedule | None, standby: Standby | None, *, free: bool) -> Stance:
    """For the worker on `server` that wants the lock; `free`: nobody has it.

    As `next` it stands by before it takes the lock. As `server` it leaves the lock to a successor that stands by.
    """
    if schedule is None or not schedule.names(server):
        return "leave"
    if schedule.server != server:
        return "take" if free and _ready(schedule, standby) else "stand_by"
    return "take" if free and not _ready(schedule, standby) else "wait"


def _ready(schedule: Schedule, standby: Standby | None) -> bool:
    """Whether the successor of this very hand-over stands by."""
    successor = schedule.next
    return successor is not None and standby == Standby(successor, schedule.generation)
