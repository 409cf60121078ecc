"""What a server should do with its workers now: pure, from what the schedule nodes say and what it knows of its workers.

`reconcile` compares and answers with actions; `Slot` is what is known of one instance, and how that changes when its
worker starts, reports and ends. Times are seconds of one monotonic clock, unless they say Unix.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cdcd.errors import Finding
from cdcd.fleet.nodes import Schedule, Standby, StartFailure
from cdcd.worker.channel import Farewell

STOP_GRACE = 10.0
"""Seconds that a worker has to end after it was told to; then it is killed."""
HEALTHY = 5.0
"""Seconds of publishing after which the next unplanned end is answered like the first."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Slot:
    """One instance on this server, with or without a worker."""

    generation: int = 0
    """Of the schedule node that it was last looked at for."""
    restarts: int = 0
    alive: bool = False
    """A worker process runs."""
    publishing_since: float | None = None
    stop_asked: float | None = None
    """When the worker was told to stop."""
    burying: bool = False
    """The ended worker's ZooKeeper session is being closed."""
    unplanned: int = 0
    """Ends in a row that nobody asked for, each soon after the start: the pause grows with them."""
    attempts: int = 0
    """Those of them that were failed starts."""
    retry_at: float = 0.0
    handed_over: bool = False
    """To another server, for this generation."""
    failure: StartFailure | None = None
    """What to tell the scheduler."""

    def seen(self, node: Schedule) -> "Slot":
        """The schedule changed: what was about the older one is forgotten; a failure stays for as long as it parks the instance."""
        if (node.generation, node.restarts) == (self.generation, self.restarts) or node.parked is not None:
            return self
        fresh = Slot(node.generation, self.restarts, alive=self.alive, burying=self.burying)
        return replace(fresh, publishing_since=self.publishing_since, stop_asked=self.stop_asked)

    def started(self, node: Schedule) -> "Slot":
        return replace(self, restarts=node.restarts, alive=True, publishing_since=None, stop_asked=None)

    def told_to_stop(self, now: float) -> "Slot":
        return replace(self, stop_asked=now)

    def published(self, now: float) -> "Slot":
        """Its worker publishes: whatever failed here before is over."""
        if self.publishing_since is not None:
            return self
        return replace(self, publishing_since=now, failure=None)

    def ended(self, how: "End", now: float, jitter: float, start_attempts: int) -> "Slot":
        """Its worker's process is gone. `jitter` stretches the pause: about 1."""
        slot = replace(self, alive=False, publishing_since=None, stop_asked=None, burying=how.bury)
        if self.stop_asked is not None:
            return slot
        if how.ending == "handed_over":
            return replace(slot, handed_over=True)
        if self.publishing_since is not None and now - self.publishing_since >= HEALTHY:
            slot = replace(slot, unplanned=0, attempts=0)
        slot = replace(slot, retry_at=now + jitter * pause(slot.unplanned), unplanned=slot.unplanned + 1)
        return _failed(slot, how, now + jitter * LONGEST_PAUSE, start_attempts) if how.failed else slot

    def buried(self) -> "Slot":
        return replace(self, burying=False)


def _failed(slot: Slot, how: "End", patience: float, start_attempts: int) -> Slot:
    slot = replace(slot, attempts=slot.attempts + 1)
    if slot.attempts < start_attempts and how.ending == "crashed":
        return slot
    # The scheduler's turn; if there is none, another try after the longest pause.
    return replace(slot, failure=how.failure(slot.attempts, slot.generation), retry_at=patience)


def pause(unplanned: int) -> float:
    """Seconds before the next start after so many unplanned ends in a row before this one: the first restart comes at once."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(unplanned - 1, 20)) if unplanned else 0.0


@dataclass(frozen=True, slots=True)
class End:
    """How a worker's process ended."""

    farewell: Farewell | None
    """None: it crashed."""
    code: int | None
    """Exit code, negative for a signal; None: not known."""
    at: float
    """Unix seconds."""
    bury: bool = False
    """It left a ZooKeeper session behind."""

    @property
    def ending(self) -> str:
        return self.farewell.ending if self.farewell else "crashed"

    @property
    def failed(self) -> bool:
        """Whether it counts as a failed start. A lock, a schedule or a newer owner that says no is no failure."""
        return self.ending in ("crashed", "parked", "gave_up")

    @property
    def finding(self) -> Finding:
        """Why, as operators see it."""
        if self.farewell is not None and self.farewell.finding is not None:
            return self.farewell.finding
        said = self.farewell.reason if self.farewell else _fate(self.code)
        remedy = "The server's log has the worker's last words; if nobody killed it, it is a defect of cdcd: report it"
        return Finding("worker-crashed", "retry", f"The worker {said}", remedy)

    def failure(self, attempts: int, generation: int) -> StartFailure:
        """For the load-balance node."""
        finding = self.finding
        return StartFailure(
            finding.code, finding.kind, finding.what, finding.remedy, self.at, attempts=attempts, generation=generation
        )


def _fate(code: int | None) -> str:
    if code is None:
        return "process ended without a word"
    return f"process was killed by signal {-code}" if code < 0 else f"process ended with exit status {code}"


# ---------------------------------------------------------------- what to do


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker."""

    instance: str
    node: Schedule
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the worker to stop."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """It was told to stop, and did not."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """The instance left this server, and its worker is gone."""

    instance: str
    reason: str


Action = Start | Stop | Kill | Forget

Phase = Literal["running", "handing_over", "leaving"]
"""Of a server. `handing_over`: it is to stop; what it runs goes on until others have taken it, nothing is started.
`leaving`: the rest is told to stop."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was last read from ZooKeeper."""

    schedule: Mapping[str, Schedule]
    """Schedule nodes that concern this server: those that name it, and those of the instances in its slots."""
    standbys: Mapping[str, Standby]
    """Of the instances in a hand-over away from this server."""


def reconcile(
    me: str, wishes: Wishes, slots: Mapping[str, Slot], now: float, *, phase: Phase = "running"
) -> list[Action]:
    """The actions due now, in order of the names. `slots` have `seen` the schedule nodes in `wishes`."""
    names = sorted(wishes.schedule.keys() | slots.keys())
    found = (_due(me, name, wishes, slots.get(name), now, phase) for name in names)
    return [action for action in found if action is not None]


def _due(me: str, name: str, wishes: Wishes, slot: Slot | None, now: float, phase: Phase) -> Action | None:  # noqa: PLR0917 - the rows of reconcile's table
    node = wishes.schedule.get(name)
    named = node is not None and node.names(me)
    if slot is not None and slot.alive:
        return _of_running(name, node if named else None, slot, now, phase)
    if node is None or not named:
        return None if slot is None or _kept(node, slot) else Forget(name, _left(me, node))
    slot = slot or Slot(node.generation)
    if (
        phase != "running"
        or slot.burying
        or now < slot.retry_at
        or _held(slot)
        or _given_away(me, node, wishes.standbys.get(name))
    ):
        return None
    return Start(name, node, _why(me, node, slot))


def _of_running(name: str, node: Schedule | None, slot: Slot, now: float, phase: Phase) -> Action | None:
    if slot.stop_asked is not None:
        overdue = now - slot.stop_asked >= STOP_GRACE
        return Kill(name, f"it did not stop within {STOP_GRACE:.0f} s") if overdue else None
    if phase == "leaving":
        return Stop(name, "this server stops")
    if node is None:
        return Stop(name, "the schedule node does not name this server any more")
    return Stop(name, "a restart was asked for") if node.restarts > slot.restarts else None


def _kept(node: Schedule | None, slot: Slot) -> bool:
    """Parked because of what happened here: still shown, and still in the load-balance node."""
    return slot.burying or (node is not None and node.parked is not None and slot.failure is not None)


def _held(slot: Slot) -> bool:
    """Nothing changes by another try before the schedule does."""
    return slot.handed_over or (slot.failure is not None and slot.failure.kind == "operator")


def _given_away(me: str, node: Schedule, standby: Standby | None) -> bool:
    """Rule of the hand-over: no worker as `server` while `next` is set and its standby stands."""
    return node.next not in (None, me) and standby == Standby(node.next or "", node.generation)


def _left(me: str, node: Schedule | None) -> str:
    if node is None:
        return "there is no schedule node for it any more"
    return f"it is scheduled on {node.server or 'no server'}, not on {me}: {node.reason}"


def _why(me: str, node: Schedule, slot: Slot) -> str:
    part = "to run" if node.server == me else "to take over"
    again = f", after {slot.unplanned} unplanned ends" if slot.unplanned else ""
    return f"the schedule node names this server {part}{again}: {node.reason}"


def noted(slots: Mapping[str, Slot], wishes: Wishes) -> Iterator[tuple[str, Slot]]:
    """(name, new slot) where a schedule node changed what is to be remembered."""
    for name, slot in slots.items():
        node = wishes.schedule.get(name)
        if node is not None and (fresh := slot.seen(node)) is not slot:
            yield name, fresh
