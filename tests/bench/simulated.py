"""A fleet that lives in memory: servers that come, fail and are drained, instances whose rates drift through the day.

It carries out what `plan` decides as a real fleet would, late and not always, and reports measured loads with noise.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

from cdcd.fleet.nodes import InstanceLoad, Schedule, StartFailure
from cdcd.fleet.plan import Plan, PlannedInstance, PlannedServer
from cdcd.fleet.planning.weights import FLOOR, ROWS_A_CORE

CAPACITIES = (4.0, 8.0, 8.0, 16.0, 32.0)
ZONES = ("a", "b", "c")
HEAVIEST = 1.0
"""Weight of what keeps one worker's core busy: no instance weighs more."""
USED = 0.4
"""Mean load of the fleet at noon."""
PEAKS = 6
"""Groups of instances, each with its own busiest hour."""


class Traffic:
    """What each instance weighs: Pareto-distributed, with a daily curve and a random walk of its own."""

    def __init__(self, chance: random.Random, scale: float) -> None:
        self._chance, self._scale = chance, scale
        self._base: dict[str, tuple[float, int]] = {}
        self._walk: dict[str, float] = {}
        self.weights: dict[str, float] = {}

    def add(self, name: str) -> None:
        self._base[name] = (self._scale * (self._chance.paretovariate(1.2) - 0.9), self._chance.randrange(PEAKS))
        self._walk[name] = 0.0

    def remove(self, name: str) -> None:
        del self._base[name], self._walk[name]

    def drift(self, now: float) -> None:
        """On to `now`: the curve swings by 60 %, the walk by about 25 %."""
        curve = [1 + 0.6 * math.sin(math.tau * (now / 86_400 + peak / PEAKS / 3)) for peak in range(PEAKS)]
        chance, walk = self._chance.random, self._walk
        for name, (base, peak) in self._base.items():
            walk[name] = step = 0.98 * walk[name] + 0.18 * (chance() - 0.5)
            self.weights[name] = min(HEAVIEST, max(FLOOR, base * curve[peak] * math.exp(step)))


class SimulatedFleet:
    """The whole tree as the scheduler would read it, and what really runs where."""

    def __init__(self, servers: int, instances: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.servers: dict[str, PlannedServer] = {}
        self.instances: dict[str, PlannedInstance] = {}
        self.schedule: dict[str, Schedule] = {}
        self.runs: dict[str, tuple[str, float]] = {}
        """Instance -> where its worker is, since when."""
        self.broken: set[str] = set()
        """Instances that crash wherever they are started."""
        self.returns: dict[str, float] = {}
        """Dead server -> when it is up again."""
        self._made = Counter[str]()
        for _ in range(servers):
            self.join()
        capacity = sum(server.capacity for server in self.servers.values())
        self._traffic = Traffic(self.chance, scale=USED * capacity / instances / 4.5)
        for _ in range(instances):
            self.define()
        self._traffic.drift(0.0)

    # ---------------------------------------------------------------- what happens by itself

    def join(self) -> None:
        self._made["server"] += 1
        name = f"s{self._made['server']:05}"
        labels = {"zone": ZONES[self._made["server"] % len(ZONES)]}
        self.servers[name] = PlannedServer(True, self.now, self.chance.choice(CAPACITIES), labels)

    def define(self) -> None:
        self._made["instance"] += 1
        name, zone = f"i{self._made['instance']:07}", {"zone": self.chance.choice(ZONES)}
        kind = self.chance.random()
        require, prefer = (zone if kind < 0.05 else {}), (zone if kind > 0.97 else {})
        self.instances[name] = PlannedInstance(self._made["instance"], require=require, prefer=prefer)
        self._traffic.add(name)

    def forget(self) -> None:
        name = self.chance.choice(list(self.instances))
        del self.instances[name]
        self._traffic.remove(name)
        self.broken.discard(name)

    def die(self) -> None:
        name = self.chance.choice([name for name, server in self.servers.items() if server.alive])
        self.servers[name] = replace(self.servers[name], alive=False, since=self.now)
        self.returns[name] = self.now + self.chance.uniform(300, 3600)

    def drain(self) -> None:
        name = self.chance.choice([name for name, server in self.servers.items() if server.alive])
        self.servers[name] = replace(self.servers[name], draining=True)

    def pass_time(self, seconds: float) -> None:
        """Rates drift, dead servers come back, drained ones that are empty are put to use again."""
        self.now += seconds
        self._traffic.drift(self.now)
        for name in [name for name, at in self.returns.items() if at <= self.now]:
            del self.returns[name]
            self.servers[name] = replace(self.servers[name], alive=True, since=self.now, draining=False)
        busy = {name for node in self.schedule.values() for name in (node.server, node.next)}
        for name, server in self.servers.items():
            if server.draining and server.alive and name not in busy:
                self.servers[name] = replace(server, draining=False, since=self.now)

    # ---------------------------------------------------------------- what the fleet does

    def write(self, made: Plan) -> None:
        """The plan's changes, as the scheduler writes them."""
        for change in made.changes:
            if change.node is None:
                self.schedule.pop(change.instance, None)
            else:
                self.schedule[change.instance] = change.node

    def obey(self, sloppy: float = 0.02) -> int:
        """Workers start, stop and take over as their nodes say; of the hand-overs a share comes to nothing: how many."""
        for name in self.runs.keys() - self.schedule.keys():
            del self.runs[name]
        failed = 0
        for name, node in self.schedule.items():
            if node.next is not None:
                if self._alive(node.next) and (not self._runs(name) or self.chance.random() >= sloppy):
                    self.runs[name] = node.next, self.now
                self._show_runner(name)
                failed += self._alive(node.next) and self.runs[name][0] != node.next
            elif node.server is None or not self._alive(node.server):
                self.runs.pop(name, None)
            elif self.runs.get(name, ("", 0.0))[0] != node.server:
                self.runs[name] = node.server, self.now
        return failed

    def _show_runner(self, name: str) -> None:
        if name in self.instances:
            runner = self.runs[name][0] if self._runs(name) else None
            self.instances[name] = replace(self.instances[name], runner=runner)

    def _runs(self, name: str) -> bool:
        return name in self.runs and self._alive(self.runs[name][0])

    def _alive(self, server: str) -> bool:
        return server in self.servers and self.servers[server].alive

    def report(self) -> None:
        """Every live server's load-balance node: what it measured, give or take 2 %, and what it gave up on."""
        instances: dict[str, dict[str, InstanceLoad]] = {name: {} for name in self.servers}
        failures: dict[str, dict[str, StartFailure]] = {name: {} for name in self.servers}
        chance, weights = self.chance.random, self._traffic.weights
        for name, (server, since) in self.runs.items():
            if name not in weights or server not in instances:
                continue
            if name in self.broken:
                failures[server][name] = self._crash(name)
                continue
            rows = weights[name] * (0.98 + 0.04 * chance()) * ROWS_A_CORE
            instances[server][name] = InstanceLoad("running", 0.0, rows, self.now - since, 0.0)
        for name, live in self.servers.items():
            if live.alive:
                self.servers[name] = replace(live, instances=instances[name], failures=failures[name])

    def _crash(self, name: str) -> StartFailure:
        return StartFailure("worker-crashed", "operator", "exit 139", "", self.now, 5, self.schedule[name].generation)

    # ---------------------------------------------------------------- how it stands

    def loads(self) -> dict[str, float]:
        """Of the servers that have had ten minutes to take part: what really weighs on them, over their capacity."""
        weight: dict[str, float] = defaultdict(float)
        for name, (runner, _) in self.runs.items():
            if name in self.instances and name not in self.broken:
                weight[runner] += self._traffic.weights[name]
        return {
            name: weight[name] / server.capacity
            for name, server in self.servers.items()
            if server.alive and not server.draining and self.now - server.since >= 600
        }

    def largest_on(self) -> dict[str, float]:
        """Load of each server's largest instance."""
        largest: dict[str, float] = {}
        for name, (server, _) in self.runs.items():
            if name in self.instances:
                largest[server] = max(largest.get(server, 0.0), self._traffic.weights[name])
        return {name: weight / self.servers[name].capacity for name, weight in largest.items()}

    def violations(self, made: Plan) -> Iterator[str]:
        """Rules that the plan breaks, before it is written."""
        for change in made.changes:
            node, before = change.node, self.schedule.get(change.instance)
            if node is None:
                continue
            if node.server is not None and node.server == node.next:
                yield f"{change.instance} twice on {node.server}"
            known = (before.server, before.next) if before else ()
            for name in {node.server, node.next} - {None, *known}:
                yield from self._wrong(change.instance, str(name), node)

    def _wrong(self, instance: str, name: str, node: Schedule) -> Iterator[str]:
        server, zone = self.servers[name], self.instances[instance].require.get("zone")
        if not server.alive:
            yield f"{instance} on {name}, which is dead"
        if server.draining:
            yield f"{instance} on {name}, which is drained"
        if zone is not None and server.labels["zone"] != zone:
            yield f"{instance} on {name} outside of its zone"
        failed = node.failed.get(name)
        if failed is not None and failed.until > self.now and failed.kind == "operator":
            yield f"{instance} on {name}, where it failed"
