"""Which server should run which instance: a pure function of what the scheduler has read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cdcd.fleet.nodes import InstanceLoad, Request, Schedule, StartFailure


@dataclass(frozen=True, slots=True)
class PlannedInstance:
    """An instance that has a valid definition, or one of a version that this scheduler does not know."""

    changed: int
    """Transaction id (mzxid) of the definition's last change."""
    paused: bool = False
    version: int = 1
    weight: float | None = None
    """Set by the operator; None: as measured."""
    require: Mapping[str, str] = field(default_factory=dict)
    prefer: Mapping[str, str] = field(default_factory=dict)
    """Labels; every server also has the label `server` with its id."""
    request: Request | None = None
    runner: str | None = None
    """Server whose worker holds the lock; known at least while a hand-over is under way."""
    standby: tuple[str, int] | None = None
    """(server, generation) of the standby node; known at least while a hand-over is under way."""


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """A server whose registration stands, or one that left its load behind (`alive` false)."""

    alive: bool
    since: float
    capacity: float
    labels: Mapping[str, str] = field(default_factory=dict)
    max_instances: int | None = None
    draining: bool = False
    """Drained by an operator, or being stopped."""
    versions: Sequence[int] = (1,)
    instances: Mapping[str, InstanceLoad] = field(default_factory=dict)
    failures: Mapping[str, StartFailure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """How eager the scheduler is; all of it settings (`scheduling`)."""

    settle: float = 10.0
    """Seconds after a server joined an empty fleet (or a scheduler was elected) before the first placements: all get a share."""
    grace: float = 0.0
    """Seconds that a dead server's instances wait for it, beyond its session."""
    threshold: float = 0.1
    """A move has to lower the imbalance by more than this share of the mean load."""
    max_moves: int = 4
    """Hand-overs for balance under way at one time; drains may have four times as many."""
    cooldown: float = 300.0
    """Seconds before an instance that was moved for balance may be moved for balance again."""
    handover_timeout: float = 30.0
    """Seconds that a successor has to get ready."""
    avoid: float = 300.0
    """Seconds that a server which failed is avoided the first time; doubled each further time, at most a day."""


@dataclass(frozen=True, slots=True)
class Change:
    """One schedule node to be written."""

    instance: str
    node: Schedule | None
    """None: to be deleted."""
    reason: str
    """In words, for people: what changes and why."""
    serves: Request | None = None
    """A request that is done with this change, to be removed together with it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, and what has to wait."""

    changes: tuple[Change, ...]
    waiting: Mapping[str, str]
    """Instance that no server runs -> why, in words."""
    loads: Mapping[str, float]
    """Live server -> its load over its capacity, hand-overs under way counted where they go."""
    wake: float | None = None
    """When to plan again even if nothing changes (a failure ends, a time-out runs): Unix time."""


def plan(
    instances: Mapping[str, PlannedInstance],
    servers: Mapping[str, PlannedServer],
    schedule: Mapping[str, Schedule],
    now: float,
    policy: Policy,
    since: float,
) -> Plan:
    """What to change now. Same answer for the same input; `since` is when this scheduler was elected (for `settle`)."""
    raise NotImplementedError
