"""Moving running instances to where they weigh less, while that pays."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice

from cdcd.fleet.nodes import Schedule
from cdcd.fleet.planning.draft import Draft
from cdcd.fleet.planning.hosts import Host, Level, Pool, lightest
from cdcd.fleet.planning.placement import hand_over
from cdcd.fleet.planning.situation import Situation, labelled
from cdcd.fleet.planning.swap import best_swap
from cdcd.fleet.planning.types import PlannedInstance

LAG = 10.0
"""An instance that is so many seconds behind costs twice as much to move: what it weighs now will not last."""
LAG_COUNTED = 60.0


@dataclass(frozen=True, slots=True)
class Move:
    """One instance to another server: how much closer their loads come, for what it costs."""

    name: str
    to: Host
    gain: float = 0.0
    cost: float = 1.0
    least: float = 0.0
    """What moves have to bring, if need be together."""


class Balance:
    """Picks moves one after the other: each makes the pair of servers that it touches more alike."""

    def __init__(
        self,
        situation: Situation,
        instances: Mapping[str, PlannedInstance],
        schedule: Mapping[str, Schedule],
        drafts: Mapping[str, Draft],
    ) -> None:
        self._situation, self._instances, self._schedule, self._drafts = situation, instances, schedule, drafts
        self._moved: set[str] = set()
        self._levels: dict[Pool, Level] = {}
        self._taking = [host for host in situation.hosts.all.values() if host.takes]

    def moves(self, astray: Sequence[str], most: int) -> list[Draft]:
        """At most so many hand-overs: instances to servers that they prefer, then from the most loaded servers."""
        found = list(islice(self._home(astray), most))
        for step in self._spread():
            if len(found) + len(step) > most:
                break
            found += [self._hand_over(move, "for balance") for move in step]
        return found

    def _home(self, astray: Iterable[str]) -> Iterator[Draft]:
        """Instances that ran out of the servers they prefer, as soon as one of those can have them back."""
        for name in astray:
            instance, failed = self._instances[name], self._schedule[name].failed
            host = self._situation.hosts.preferred(instance).least(self._situation.weight(name), failed)
            if host is not None and self._is_free(name):
                yield self._hand_over(Move(name, host), f"which it prefers ({labelled(instance.prefer)})")

    def _spread(self) -> Iterator[tuple[Move, ...]]:
        """What should move together, the most loaded servers first, while moves pay. Each step rests on those before it."""
        sources = [(-host.load, host.name) for host in self._taking]
        heapify(sources)
        coldest = min((host.load for host in self._taking), default=0.0)
        while sources:
            source = self._situation.hosts.all[heappop(sources)[1]]
            if source.load - coldest <= self._situation.policy.threshold * coldest:
                return  # of whatever pool: its mean is not below its least loaded server
            step = self._step(source)
            if step:
                yield step
                coldest = min(coldest, source.load)  # without its heaviest instance it may be the one to fill
                heappush(sources, (-source.load, source.name))

    def _hand_over(self, move: Move, why: str) -> Draft:
        self._moved.add(move.name)
        draft = Draft(move.name, self._instances[move.name], self._schedule[move.name], self._situation.now)
        hand_over(draft, move.to, why, self._situation)
        draft.change_members(moved=self._situation.now)
        return draft

    def _may_move(self, name: str) -> bool:
        return name in self._situation.weights and self._is_free(name)

    def _is_free(self, name: str) -> bool:
        """Whether nothing else is done with it, and its last move is long enough ago."""
        moved = self._schedule[name].moved
        rested = moved is None or self._situation.now >= moved + self._situation.policy.cooldown
        return rested and self._instances[name].valid and name not in self._drafts and name not in self._moved

    def _step(self, source: Host) -> tuple[Move, ...]:
        """What brings most for its cost, if it and others like it bring more than the threshold; else two that change places."""
        targets: dict[Pool, list[Host]] = {}
        moves = []
        for name in filter(self._may_move, source.seats):
            pool = self._pool(source, name)
            if pool not in targets:
                targets[pool] = self._targets(source, pool, ())
            if targets[pool] and (move := self._move(source, name, pool, targets[pool])):
                moves.append(move)
        if moves:
            best = max(moves, key=lambda move: (move.gain / move.cost, move.name))
            if sum(move.gain for move in moves) > best.least:
                return (best,)
        return next(filter(None, (self._swap(source, pool, to) for pool in targets for to in targets[pool])), ())

    def _swap(self, source: Host, pool: Pool, target: Host) -> tuple[Move, ...]:
        """A heavier instance for a lighter one, if that pays by itself."""
        if source.full or target.full:
            return ()
        unit, gap = 1 / source.capacity + 1 / target.capacity, _gap(source, target)
        pair = best_swap(self._fitting(source, target), self._fitting(target, source), gap / unit)
        if pair is None:
            return ()
        (heavy, ours), (light, theirs) = pair
        gain = gap - abs(gap - (heavy - light) * unit)
        return (Move(ours, target), Move(theirs, source)) if gain > self._slack(pool) else ()

    def _fitting(self, here: Host, there: Host) -> list[tuple[float, str]]:
        """Instances on one server that may as well be on the other, with their weights."""
        weights, schedule = self._situation.weights, self._schedule
        return [
            (weights[name], name)
            for name in filter(self._may_move, here.seats)
            if there.name in self._pool(here, name).hosts and there.name not in schedule[name].failed
        ]

    def _targets(self, source: Host, pool: Pool, avoid: Iterable[str]) -> list[Host]:
        """Servers of the pool that a move could pay for: the best of each size."""
        found = pool.least_of_each_size((source.name, *avoid))
        return [target for target in found if self._is_off(source, target, pool)]

    def _is_off(self, source: Host, target: Host, pool: Pool) -> bool:
        """Whether one of the two is off the middle, and they are far enough from each other for a move to pay."""
        level, slack = self._level(pool), self._slack(pool)
        apart = _gap(source, target) > slack
        return apart and (source.least > level.middle + slack or target.most < level.middle - slack)

    def _move(self, source: Host, name: str, pool: Pool, targets: list[Host]) -> Move | None:
        """Where an instance would go, if that brings source and target closer."""
        if failed := self._schedule[name].failed:
            targets = self._targets(source, pool, failed)
        weight = self._situation.weights[name]
        target = lightest(targets, weight)
        if target is None:
            return None
        gap = _gap(source, target)
        gain = gap - abs(gap - weight / source.capacity - weight / target.capacity)
        return Move(name, target, gain, self._cost(source, name, weight), self._slack(pool)) if gain > 0 else None

    def _pool(self, source: Host, name: str) -> Pool:
        """Servers it may go to: preferred ones only, where it is on one."""
        instance = self._instances[name]
        if instance.prefer:
            preferred = self._situation.hosts.preferred(instance)
            if source.name in preferred.hosts:
                return preferred
        return self._situation.hosts.able(instance)

    def _level(self, pool: Pool) -> Level:
        if pool not in self._levels:
            self._levels[pool] = pool.level
        return self._levels[pool]

    def _slack(self, pool: Pool) -> float:
        return self._situation.policy.threshold * self._level(pool).mean

    def _cost(self, source: Host, name: str, weight: float) -> float:
        """A hand-over is one pause, of more rows the busier it is."""
        lag = source.server.instances[name].lag_seconds if name in source.server.instances else None
        return 1.0 + weight / self._situation.guess + min(lag or 0.0, LAG_COUNTED) / LAG


def _gap(source: Host, target: Host) -> float:
    """How far apart their loads are at least: what is only guessed speaks against a move."""
    return source.least - target.most
