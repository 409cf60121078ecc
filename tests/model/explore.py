"""Every state that can be reached, breadth first, so that the account of a broken invariant is as short as can be."""

from array import array
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.model.environment import Environment
from tests.model.state import Kafka, Schedule, Seen, State, Worker, ZooKeeper
from tests.model.steps import Bounds, Invariant, Kind, Protection
from tests.model.workers import Workers

_FATAL: frozenset[Invariant] = frozenset({"rows exactly once, in order", "the position is that of the rows"})
"""A state after one of these means nothing: what follows is not looked at."""
_RETRIES = 3
"""So many more locks may be taken than failures need; a hand-over that goes back and forth for ever is cut there."""


@dataclass(slots=True)
class Explored:
    states: int = 0
    complete: bool = False
    broken: dict[Invariant, list[str]] = field(default_factory=dict)
    """The steps from the beginning to each invariant's break; of the last two to a state with no way on."""

    def account(self) -> str:
        return "\n".join(f"{name}:\n  " + "\n  ".join(trace) for name, trace in self.broken.items())


def explore(
    bounds: Bounds,
    without: Collection[Protection] = (),
    *,
    until: Collection[Invariant] = (),
    limit: int = 3_000_000,
) -> Explored:
    """All states within `bounds`, or fewer where the invariants `until` are all broken earlier."""
    return _Search(bounds, without).run(frozenset(until), limit)


class _Search:
    def __init__(self, bounds: Bounds, without: Collection[Protection]) -> None:
        self._bounds = bounds
        self._environment, self._workers = Environment(bounds, without), Workers(bounds, without)
        zookeeper = ZooKeeper(Schedule(), rebuilds=bounds.rebuilds, czxid=bounds.czxid)
        start = None if bounds.latest else 0
        first = State(zookeeper, Kafka(), Seen(start=start), (Worker(),) * bounds.workers)
        self._numbers = {first: 0}
        self._states = [first]
        self._parents, self._labels = array("i", [-1]), [""]
        self._sources, self._targets, self._kinds = array("i"), array("i"), bytearray()
        self._cut: set[int] = set()
        self._found = Explored()

    def run(self, until: frozenset[Invariant], limit: int) -> Explored:
        number, found = 0, self._found
        while number < len(self._states) < limit:
            self._expand(number)
            number += 1
            if until and until <= found.broken.keys():
                break
        found.states = len(self._states)
        found.complete = number == len(self._states)
        if found.complete:
            self._liveness()
        self._states.clear()
        return found

    def _expand(self, number: int) -> None:
        state = self._states[number]
        for steps in (self._environment.steps(state), self._workers.steps(state)):
            for label, after, kind, broken in steps:
                for name in broken:
                    self._found.broken.setdefault(name, [*self._trace(number), label])
                if not _FATAL.isdisjoint(broken):
                    continue
                if after.seen.locks > self._bounds.locks + _RETRIES:
                    self._cut.add(number)
                    continue
                self._edge(number, label, after, kind)

    def _edge(self, number: int, label: str, after: State, kind: Kind) -> None:
        target = self._numbers.setdefault(after, len(self._states))
        if target == len(self._states):
            self._states.append(after)
            self._parents.append(number)
            self._labels.append(label)
        self._sources.append(number)
        self._targets.append(target)
        self._kinds.append(kind.value)

    def _trace(self, number: int) -> list[str]:
        labels = []
        while number > 0:
            labels.append(self._labels[number])
            number = self._parents[number]
        return labels[::-1]

    # ---------------------------------------------------------------- the whole graph

    def _liveness(self) -> None:
        """From every state there must be a way on that needs no failure, nor a time-out of the coordinator."""
        over = {number for number, state in enumerate(self._states) if self._over(state)}
        over |= self._cut if self._bounds.handovers else set()
        self._lively("never stuck", over, {Kind.NORMAL, Kind.GIVEN_UP})
        if self._bounds.handovers:
            none = {number for number, state in enumerate(self._states) if state.zookeeper.schedule.next is None}
            self._lively("a hand-over can be completed", none | self._cut, {Kind.NORMAL})

    def _over(self, state: State) -> bool:
        """All is published and stored, and nobody runs it but whom the schedule names."""
        lock, kafka = state.zookeeper.lock, state.kafka
        published = kafka.record.position == self._bounds.rows == max(kafka.rows, state.seen.start or 0)
        return published and (lock is None or state.zookeeper.schedule.names(lock.worker))

    def _lively(self, name: Invariant, goal: set[int], kinds: set[Kind]) -> None:
        backwards: list[list[int] | None] = [None] * len(self._states)
        allowed = bytes(kind.value in {each.value for each in kinds} for kind in Kind)
        for source, target, kind in zip(self._sources, self._targets, self._kinds, strict=True):
            if allowed[kind]:
                before = backwards[target]
                if before is None:
                    backwards[target] = [source]
                else:
                    before.append(source)
        good = bytearray(len(self._states))
        todo = list(goal)
        for number in todo:
            good[number] = 1
        while todo:
            for source in backwards[todo.pop()] or ():
                if not good[source]:
                    good[source] = 1
                    todo.append(source)
        stuck = good.find(0)
        if stuck >= 0:
            self._found.broken[name] = [*self._trace(stuck), f"no way on from {self._states[stuck]}"]
