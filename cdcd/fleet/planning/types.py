"""What `plan` is given and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cdcd.fleet.nodes import InstanceLoad, Request, Schedule, StartFailure


@dataclass(frozen=True, slots=True)
class PlannedInstance:
    """An instance that has a definition."""

    changed: int
    """Transaction id (mzxid) of the definition's last change."""
    valid: bool = True
    """False: the definition has mistakes. It goes on where it runs, with what was valid before, and is started nowhere."""
    paused: bool = False
    version: int = 1
    """Of the definition's form; the scheduler itself need not know it."""
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
    """Alive: when its registration was made (not its process). Else: since when it is gone, as far as is known."""
    capacity: float
    labels: Mapping[str, str] = field(default_factory=dict)
    max_instances: int | None = None
    draining: bool = False
    """Drained by an operator, or being stopped."""
    versions: Sequence[int] = (1,)
    """Versions of definitions that it knows."""
    instances: Mapping[str, InstanceLoad] = field(default_factory=dict)
    failures: Mapping[str, StartFailure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """How eager the scheduler is: the settings `scheduling`, which explain each."""

    settle: float = 10.0
    grace: float = 0.0
    mature: float = 10.0
    threshold: float = 0.1
    max_moves: int = 4
    cooldown: float = 300.0
    handover_timeout: float = 30.0
    avoid: float = 300.0


@dataclass(frozen=True, slots=True)
class Change:
    """One schedule node to be written."""

    instance: str
    node: Schedule | None
    """None: to be deleted, if there is one."""
    reason: str
    """In words, for people: what changes and why."""
    serves: Request | None = None
    """A request that is done with this change, or can't be (the reason says why): to be removed together with it.
    Then `node` may be equal to the one that stands."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, and what has to wait."""

    changes: tuple[Change, ...]
    waiting: Mapping[str, str]
    """Instance that should run and that no live server is to run, after these changes -> why, in words."""
    loads: Mapping[str, float]
    """Live server -> its load over its capacity, hand-overs under way counted where they go."""
    wake: float | None = None
    """When to plan again even if nothing changes (a failure ends, a time-out runs): Unix time."""
