"""What a scheduler does while it is elected: read a snapshot of the tree, decide, write what changes, say why.

Level-triggered: every look compares all that is with all that should be, so that nothing is lost with a watch, a refused
write or a former scheduler. Every write checks the term (election.py).
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cdcd.config.problems import shown
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.decision import decide
from cdcd.fleet.election import Term
from cdcd.fleet.nodes import Status, decode
from cdcd.fleet.plan import Change, Plan, Policy
from cdcd.fleet.registry import ensure_tree
from cdcd.fleet.session import Operation
from cdcd.fleet.snapshot import Snapshot, SnapshotReader
from cdcd.fleet.upkeep import Duty, refused_orders, released_numbers, spoilt_nodes, summary, unmanned, verdict
from cdcd.fleet.writes import Portion, Writes
from cdcd.observe.failpoints import Failpoint

SHORTEST_PAUSE = 0.05
"""Seconds between two looks: what happens at the same time is seen at the same time."""
SHOWN = 100
"""Most names in a list of `/status`."""


@dataclass(frozen=True, slots=True)
class Figures:
    """For metrics and `/status`; None before the first look."""

    unassigned: int | None = None
    """Instances that should run and that no live server is to run."""
    loads: Mapping[str, float] = field(default_factory=dict)
    """Live server -> its load over its capacity, hand-overs under way counted where they go."""
    invalid: int | None = None
    """Definitions that do not validate."""
    misnamed: int | None = None
    """Nodes in /instances whose names are not allowed."""


@dataclass(frozen=True, slots=True)
class _Notice:
    """Something to be said once, for as long as it is so."""

    event: str
    about: str
    reason: str


class Reign:
    """One term. All that it knows is from this term; for one thread, but `figures` and `look` are for any."""

    def __init__(  # noqa: PLR0917 - collaborators
        self, term: Term, cache: Cache, cluster: str, policy: Callable[[], Policy], failpoint: Failpoint, log: Any
    ) -> None:
        self.term = term
        self.took = 0.0
        """Seconds of the last look."""
        self.figures = Figures()
        self._cache = cache
        self._cluster = cluster
        self._reader = SnapshotReader(cache, cluster)
        self._policy = policy
        self._failpoint = failpoint
        self._log = log
        self._since = time.time()
        self._plan = Plan((), {}, {})
        self._refused = True
        """What the last look wrote was refused, or there was none yet."""
        self._marked: set[str] | None = None
        """Instances whose status calls their definitions invalid; None: not read yet."""
        self._told: set[_Notice] = set()

    def govern(self) -> None:
        """Look at everything once. TermOver and FindingError as the term and the session raise them."""
        began = time.monotonic()
        if self._refused:  # may be for want of a folder, which somebody has removed
            ensure_tree(self.term.session, self._cluster)
            self._refused = False
        snapshot = self._reader.read()
        plan = decide(snapshot, time.time(), self._policy(), self._since)
        self._tell(snapshot, plan)
        self._failpoint("scheduler.after_plan")
        self._write(snapshot, plan.changes)
        self._keep_up(snapshot, {change.instance for change in plan.changes})
        self.took = time.monotonic() - began

    def pause(self, interval: float) -> float:
        """Seconds until the next look is due, if nothing changes."""
        if self._refused:  # what a write rested on has changed
            return SHORTEST_PAUSE
        wake = self._plan.wake
        return interval if wake is None else max(SHORTEST_PAUSE, min(interval, wake - time.time()))

    def look(self) -> dict[str, Any]:
        """For `/status`."""
        figures, waiting = self.figures, self._plan.waiting
        return {
            "term": self.term.number,
            "since": self._since,
            "loads": {server: round(load, 3) for server, load in sorted(figures.loads.items())[:SHOWN]},
            "waiting": dict(sorted(waiting.items())[:SHOWN]),
            "unassigned_instances": figures.unassigned,
            "invalid_definitions": figures.invalid,
            "misnamed_definitions": figures.misnamed,
        }

    # ---------------------------------------------------------------- the schedule

    def _write(self, snapshot: Snapshot, changes: Iterable[Change]) -> None:
        writes = Writes(snapshot)
        for portion in writes.portions(changes):
            if not self._put(writes, portion) and len(portion.changes) > 1:
                # One of them rests on something that has changed since: the others need not wait for it.
                for change in portion.changes:
                    self._put(writes, writes.portion((change,)))
        repairs = writes.index_repairs()
        if repairs and self._do(repairs):
            reason = f"not what the schedule nodes say: {', '.join(each.path for each in repairs[:5])}"
            self._log.warning("schedule.index_repaired", reason=reason, nodes=len(repairs))

    def _put(self, writes: Writes, portion: Portion) -> bool:
        if not self._do(portion.operations):
            return False
        writes.done(portion)
        for change in portion.changes:
            self._note(change)
        self._failpoint("scheduler.mid_writes")
        return True

    def _do(self, operations: tuple[Operation, ...]) -> bool:
        # Before, not after: without an answer nobody knows what stands there.
        self._cache.forget(operation.path for operation in operations)
        done = self.term.write(*operations)
        self._refused = self._refused or not done
        return done

    def _note(self, change: Change) -> None:
        node, order = change.node, change.serves
        self._log.info(
            "schedule.changed",
            sync_instance=change.instance,
            reason=change.reason,
            scheduled=node.server if node else None,
            next=node.next if node else None,
            generation=node.generation if node else None,
            **({"order": order.kind, "by": shown(order.by)} if order else {}),
        )

    # ---------------------------------------------------------------- beside the schedule

    def _keep_up(self, snapshot: Snapshot, changed: Collection[str]) -> None:
        now = time.time()
        orders = refused_orders(snapshot, now)
        spoilt = spoilt_nodes(snapshot, changed)
        for duty in (*released_numbers(snapshot), *orders, *spoilt, *self._verdicts(snapshot, now)):
            if self._do(duty.operations):
                log = self._log.warning if duty.alarming else self._log.info
                log(duty.event, sync_instance=duty.instance, reason=duty.reason)

    def _verdicts(self, snapshot: Snapshot, now: float) -> list[Duty]:
        """Of definitions that nobody runs: what is wrong with them is said, and taken back when it is mended."""
        free = {name for name in snapshot.definitions if unmanned(snapshot, name)}
        if self._marked is None:
            self._marked = self._called_invalid(free)
        invalid = {name for name in free if snapshot.definitions[name].problems}
        duties = []
        for name in sorted(invalid | (self._marked & free)):
            found = self._cache.nodes((paths.status(name), paths.state(name)))
            duty = verdict(name, snapshot.definitions[name], found, now)
            duties += [duty] if duty is not None else []
        self._marked = invalid | {duty.instance for duty in duties}
        return duties

    def _called_invalid(self, names: Iterable[str]) -> set[str]:
        by_path = {paths.status(name): name for name in names}
        statuses = {at: decode(Status, node.data) for at, node in self.term.session.many(by_path).items() if node}
        return {by_path[at] for at, status in statuses.items() if status is not None and status.state == "invalid"}

    # ---------------------------------------------------------------- telling

    def _tell(self, snapshot: Snapshot, plan: Plan) -> None:
        """What is new since the last look, in the log; and the figures."""
        notices = set(_notices(snapshot))
        for notice in sorted(notices - self._told, key=lambda each: (each.event, each.about)):
            self._log.warning(notice.event, about=notice.about, reason=notice.reason)
        self._told = notices
        for name in sorted(plan.waiting.keys() - self._plan.waiting.keys()):
            if snapshot.definitions[name].problems:
                continue  # told with its mistakes
            self._log.warning("instance.waiting", sync_instance=name, reason=plan.waiting[name])
        self._plan = plan
        invalid = {name for name, reading in snapshot.definitions.items() if reading.problems}
        # One that never ran for its mistakes is told by them; of one that ran, rows are not published any more.
        unassigned = plan.waiting.keys() - (invalid - snapshot.schedule.keys())
        self.figures = Figures(len(unassigned), dict(plan.loads), len(invalid), len(snapshot.misnamed))


def _notices(snapshot: Snapshot) -> Iterator[_Notice]:
    for name, reading in snapshot.definitions.items():
        if reading.problems and not unmanned(snapshot, name):
            went_on = f"it goes on with the definition before; {summary(reading.problems)}"
            yield _Notice("definition.invalid", name, went_on)
    for name in snapshot.misnamed:
        yield _Notice("definition.misnamed", shown(name), "a node of this name is no definition: it is left alone")
    for path in snapshot.garbage:
        yield _Notice("node.unreadable", shown(path), "what stands there cannot be understood: it counts as absent")
