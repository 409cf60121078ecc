"""The live servers while a plan is made: what each carries, and the least loaded one of those that meet a demand."""

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from statistics import median

from cdcd.fleet.planning.types import PlannedInstance, PlannedServer

Labels = tuple[tuple[str, str], ...]
Entry = tuple[float, int, str]


@dataclass(slots=True, eq=False)
class Host:
    """One live server."""

    name: str
    server: PlannedServer
    capacity: float
    weight: float = 0.0
    """Of all that it runs and is to take over; what it hands over is counted where it goes."""
    count: int = 0
    """Instances that it runs or is to take over; what it hands over still counts here."""
    leaving: int = 0
    """Hand-overs under way from here."""
    unsure: float = 0.0
    """Share of `weight` that is a guess, of instances too young to be measured."""
    hoped: float = 0.0
    """Share of `weight` that is a guess, of instances that failed: they count where room is looked for, but may never run."""
    seats: list[str] = field(default_factory=list)
    """Instances that it runs and that nothing is decided about yet."""

    @property
    def load(self) -> float:
        return max(self.weight, 0.0) / self.capacity

    @property
    def least(self) -> float:
        """Its load if what is guessed weighs nothing."""
        return self.load - (self.unsure + self.hoped) / self.capacity

    @property
    def most(self) -> float:
        """Its load if what is guessed weighs twice as much, and what failed nothing."""
        return self.load + (self.unsure - self.hoped) / self.capacity

    @property
    def takes(self) -> bool:
        """Whether it may be given instances at all."""
        return not self.server.draining

    @property
    def full(self) -> bool:
        most = self.server.max_instances
        return most is not None and self.count >= most

    def add(self, weight: float) -> None:
        self.weight += weight
        self.count += 1


@dataclass(frozen=True, slots=True)
class Level:
    """Loads of several servers: were it spread evenly, and of the one in the middle, whom a few giants do not move."""

    mean: float
    middle: float


class Pool:
    """The live servers that meet one demand: version of the definition and labels."""

    def __init__(self, hosts: Iterable[Host]) -> None:
        self.hosts = {host.name: host for host in hosts}
        self._heaps: dict[int, list[Entry]] | None = None

    def least(self, weight: float, avoid: Container[str] = ()) -> Host | None:
        """The server whose load would be lowest with `weight` more; none that is full, emptied or in `avoid`."""
        return lightest(self.least_of_each_size(avoid), weight)

    def least_of_each_size(self, avoid: Container[str]) -> list[Host]:
        """The least loaded server of each magnitude of capacity: one of them is the best, whatever the weight."""
        return [host for heap in self._ordered().values() if (host := self._top(heap, avoid))]

    def lightened(self, host: Host) -> None:
        """Its load has fallen: without a new entry it would be looked for where it was."""
        if self._heaps is not None and host.takes and host.name in self.hosts:
            heappush(self._heaps[_magnitude(host)], _entry(host))

    @property
    def level(self) -> "Level":
        """Of those of its servers that take instances."""
        taking = [host for host in self.hosts.values() if host.takes]
        mean = sum(host.weight for host in taking) / max(sum(host.capacity for host in taking), 1e-9)
        return Level(mean, median([host.load for host in taking] or [0.0]))

    def _ordered(self) -> dict[int, list[Entry]]:
        """A heap for each magnitude of capacity: in one the lowest load is not the best place for every weight."""
        if self._heaps is None:
            heaps: dict[int, list[Entry]] = {}
            for host in self.hosts.values():
                if host.takes:
                    heaps.setdefault(_magnitude(host), []).append(_entry(host))
            self._heaps = {size: heaps[size] for size in sorted(heaps)}
            for heap in self._heaps.values():
                heapify(heap)
        return self._heaps

    def _top(self, heap: list[Entry], avoid: Container[str]) -> Host | None:
        """Least loaded one; entries of loads that have risen are renewed when they come up."""
        aside: list[Entry] = []
        found = None
        while heap and found is None:
            host = self.hosts[heap[0][2]]
            if (fresh := _entry(host)) != heap[0]:
                heapreplace(heap, fresh)
            elif host.full:
                heappop(heap)  # for this plan: nothing leaves before it is written
            elif host.name in avoid:
                aside.append(heappop(heap))
            else:
                found = host
        for entry in aside:
            heappush(heap, entry)
        return found


def lightest(hosts: Iterable[Host], weight: float) -> Host | None:
    """The one whose load would be lowest with `weight` more."""
    return min(hosts, key=lambda host: ((host.weight + weight) / host.capacity, host.count, host.name), default=None)


def _entry(host: Host) -> Entry:
    return host.load, host.count, host.name


def _magnitude(host: Host) -> int:
    return math.frexp(host.capacity)[1]


class Hosts:
    """All live servers, and the pools of them that instances ask for."""

    def __init__(self, servers: Mapping[str, PlannedServer]) -> None:
        alive = {name: servers[name] for name in sorted(servers) if servers[name].alive}
        self.all = {name: Host(name, server, _capacity(server)) for name, server in alive.items()}
        self._pools: dict[tuple[int, Labels], Pool] = {}

    def able(self, instance: PlannedInstance) -> Pool:
        """Servers that may run it: they know its definition's version and have the labels that it requires."""
        return self._pool(instance.version, _labels(instance.require) if instance.require else ())

    def preferred(self, instance: PlannedInstance) -> Pool:
        """Those of them that also have the labels that it prefers."""
        return self._pool(instance.version, _labels(instance.require) + _labels(instance.prefer))

    def lightened(self, host: Host) -> None:
        """Tell all pools that its load has fallen."""
        for pool in self._pools.values():
            pool.lightened(host)

    def _pool(self, version: int, labels: Labels) -> Pool:
        pool = self._pools.get((version, labels))
        if pool is None:
            named = next((value for label, value in labels if label == "server"), None)
            asked = self.all.values() if named is None else filter(None, [self.all.get(named)])
            pool = self._pools[version, labels] = Pool(host for host in asked if _meets(host, version, labels))
        return pool


def _capacity(server: PlannedServer) -> float:
    """As reported, if that is a capacity."""
    return server.capacity if 0 < server.capacity < math.inf else 1.0


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _meets(host: Host, version: int, labels: Labels) -> bool:
    has = host.server.labels
    return version in host.server.versions and all(
        (host.name if label == "server" else has.get(label)) == value for label, value in labels
    )
