"""Fleets for the tests of the plan: made in a line, and carried on from one plan to the next."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cdcd.fleet.nodes import InstanceLoad, Request, Schedule, StartFailure
from cdcd.fleet.plan import Plan, PlannedInstance, PlannedServer, Policy, plan
from cdcd.fleet.planning.weights import ROWS_A_CORE

NOW = 1_000_000.0
LONG_AGO = 1000.0


def server(*, alive: bool = True, since: float = LONG_AGO, capacity: float = 1.0, **others: Any) -> PlannedServer:
    return PlannedServer(alive=alive, since=since, capacity=capacity, **others)


def running(weight: float, measured: float = 100.0) -> InstanceLoad:
    """What a server reports of an instance that weighs so much."""
    return InstanceLoad("running", rows_per_second=weight * ROWS_A_CORE, measured=measured, lag_seconds=0.0)


def failure(generation: int, code: str = "worker-crashed", kind: Any = "operator", at: float = NOW) -> StartFailure:
    return StartFailure(code, kind, f"said {code}", "look at it", at, 5, generation)


def request(kind: Any, server: str | None = None) -> Request:
    return Request("r1", kind, "ann", NOW, server)


class Fleet:
    """A small fleet whose plans are carried out at once, if not told otherwise."""

    def __init__(self, *servers: str, weights: Mapping[str, float] | None = None, **policy: Any) -> None:
        self.servers = {name: server() for name in servers}
        self.instances: dict[str, PlannedInstance] = {}
        self.schedule: dict[str, Schedule] = {}
        self.weights = dict(weights or {})
        self.policy = Policy(**policy)
        self.now, self.since = NOW, LONG_AGO

    def add(self, name: str, weight: float | None = None, **members: Any) -> None:
        self.instances[name] = PlannedInstance(**{"changed": 100 + len(self.instances), **members})
        if weight is not None:
            self.weights[name] = weight

    def run(self, name: str, on: str, weight: float = 0.1, **members: Any) -> None:
        """An instance that runs already."""
        self.add(name, weight, **members)
        self.schedule[name] = Schedule(on, 7, "before", NOW - 10_000, definition=self.instances[name].changed)

    def measure(self) -> None:
        """All live servers report what they run."""
        for name, each in self.servers.items():
            if each.alive:
                mine = [i for i, node in self.schedule.items() if node.server == name and i in self.weights]
                self.servers[name] = replace(each, instances={i: running(self.weights[i]) for i in mine})

    def kill(self, name: str) -> None:
        self.servers[name] = replace(self.servers[name], alive=False, since=self.now)

    def change(self, name: str, **members: Any) -> None:
        self.instances[name] = replace(self.instances[name], **members)

    def alter(self, name: str, **members: Any) -> None:
        self.servers[name] = replace(self.servers[name], **members)

    def fail(self, name: str, server: str, code: str = "worker-crashed", kind: Any = "operator") -> None:
        """The server gave up on the instance, with the node as it stands."""
        generation = self.schedule[name].generation
        self.alter(server, failures={name: failure(generation, code, kind, self.now)})

    def look(self) -> Plan:
        """The plan, without carrying it out."""
        return plan(self.instances, self.servers, self.schedule, self.now, self.policy, self.since)

    def plan(self) -> Plan:
        """The plan, written; hand-overs begin."""
        made = self.look()
        for change in made.changes:
            if change.serves is not None:
                self.change(change.instance, request=None)
            if change.node is None:
                self.schedule.pop(change.instance, None)
            else:
                self.schedule[change.instance] = change.node
        return made

    def take_over(self) -> None:
        """Every hand-over under way succeeds."""
        for name, node in self.schedule.items():
            if name in self.instances:
                self.change(name, runner=node.next or node.server, standby=None)

    def settle(self, rounds: int = 50) -> int:
        """Plan, hand over and measure until nothing changes any more; how many hand-overs there were."""
        moves = 0
        for _ in range(rounds):
            self.take_over()
            self.measure()
            made = self.plan()
            moves += sum(change.node is not None and change.node.next is not None for change in made.changes)
            if not made.changes:
                return moves
            self.now += 5
        raise AssertionError("it does not come to rest")

    def where(self, name: str) -> tuple[str | None, str | None]:
        node = self.schedule[name]
        return node.server, node.next

    def reason(self, name: str) -> str:
        return self.schedule[name].reason
