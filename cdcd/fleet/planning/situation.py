"""What every step of a plan looks at: servers, clock, settings; and what the plan as a whole finds out."""

from collections.abc import Mapping, Sequence

from cdcd.fleet.nodes import Schedule, StartFailure
from cdcd.fleet.planning.draft import Draft
from cdcd.fleet.planning.hosts import Host, Hosts, Pool
from cdcd.fleet.planning.types import PlannedInstance, PlannedServer, Policy
from cdcd.fleet.planning.weights import FLOOR, UNKNOWN, measured_weight

RIPE = 60.0
"""Seconds after which an instance that is still not measured no longer keeps its server out of balancing."""


class Situation:
    def __init__(self, servers: Mapping[str, PlannedServer], now: float, policy: Policy, since: float) -> None:
        self.servers, self.now, self.policy = servers, now, policy
        self.hosts = Hosts(servers)
        self._mature = max(policy.mature, 1e-3)
        self.settled_at = _settled_at(servers, since, policy.settle)
        self.failures = {instance for server in servers.values() if server.alive for instance in server.failures}
        """Instances that some live server says it gave up on."""
        self.weights: dict[str, float] = {}
        """Of every instance that is known; of the others, once all are seen."""
        self.guess = UNKNOWN
        """Weight of an instance that nobody knows."""
        self.mean = 0.0
        """Load of all servers together over their capacity."""
        self.waiting: dict[str, str] = {}
        self._none: dict[tuple[object, ...], str] = {}
        self.wake: float | None = None

    @property
    def settling(self) -> bool:
        return self.now < self.settled_at

    @property
    def most_leaving(self) -> int:
        """Hand-overs under way at one time from a server that is to be emptied."""
        return 4 * max(self.policy.max_moves, 1)

    def wake_at(self, at: float) -> None:
        if at > self.now:
            self.wake = at if self.wake is None else min(self.wake, at)

    def host(self, server: str | None) -> Host | None:
        """The server, if it lives."""
        return self.hosts.all.get(server) if server is not None else None

    def failure(self, server: str | None, name: str, node: Schedule) -> StartFailure | None:
        """What a live server says it failed at with the node as it stands."""
        host = self.host(server) if name in self.failures else None
        failure = host.server.failures.get(name) if host else None
        return failure if failure and failure.generation == node.generation else None

    def unfit(self, host: Host, instance: PlannedInstance) -> str:
        """Why the server may not run the instance, failures and limits aside; empty if it may."""
        if instance.version not in host.server.versions:
            return f"{host.name} does not know version {instance.version} of definitions"
        if host.name not in self.hosts.able(instance).hosts:
            return f"{host.name} has not the labels that it requires ({labelled(instance.require)})"
        return "" if host.takes else f"{host.name} is being emptied"

    def weigh(self, name: str, instance: PlannedInstance, node: Schedule | None) -> None:
        """Find its weight, if that is known by now."""
        weight = instance.weight
        if weight is None and node is not None:
            server = self.servers.get(node.server) if node.server is not None else None
            load = server.instances.get(name) if server is not None else None
            measured = load is not None and load.measured >= self._mature
            weight = measured_weight(load) if load is not None and measured else node.weight
        if weight is not None:
            self.weights[name] = weight

    def weight(self, name: str) -> float:
        return self.weights.get(name, self.guess)

    def guess_the_rest(self) -> None:
        """Take instances that nobody knows yet for average ones."""
        if self.weights:
            self.guess = max(FLOOR, sum(self.weights.values()) / len(self.weights))

    def carry(self, host: Host, name: str, node: Schedule | None, *, young: bool) -> None:
        """Count what the instance weighs on the server, and how far that is a guess."""
        weight = self.weight(name)
        host.add(weight)
        if name not in self.weights and node is not None and node.failed:
            host.hoped += weight
        elif name not in self.weights and young:
            host.unsure += weight

    def is_young(self, node: Schedule, host: Host) -> bool:
        """Whether an instance that is not measured may well be soon."""
        return self.now < max(node.at, host.server.since) + self.policy.mature + RIPE

    def pools(self, instance: PlannedInstance) -> tuple[Pool, ...]:
        """Where to look for a server, in this order."""
        able = self.hosts.able(instance)
        return (self.hosts.preferred(instance), able) if instance.prefer else (able,)

    def choose(self, draft: Draft, *beside: str) -> Host | None:
        """The best server for the instance, of those it need not avoid and `beside` others; None: there is none."""
        avoid = {*draft.avoided, *beside}
        weight = self.weight(draft.name)
        found = (pool.least(weight, avoid) for pool in self.pools(draft.instance))
        return next(filter(None, found), None)

    def why_none(self, draft: Draft) -> str:
        """Why no (other) server can take the instance."""
        instance, hosts = draft.instance, self.hosts.all.values()
        if not hosts:
            return "no server is up"
        if not any(instance.version in host.server.versions for host in hosts):
            return f"no live server knows version {instance.version} of definitions"
        able = self.hosts.able(instance).hosts
        if not able:
            return f"no live server has the labels that it requires ({labelled(instance.require)})"
        here = draft.node.server if draft.node and draft.node.server in able else None
        failed = sorted(name for name in draft.avoided if name in able and name != here)
        case = (id(able), here, *failed)
        if case not in self._none:
            self._none[case] = _taken([host for name, host in able.items() if name != here], failed)
        return self._none[case]


def labelled(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{label}={value}" for label, value in sorted(labels.items()))


def _taken(others: Sequence[Host], failed: list[str]) -> str:
    """Why none of the servers that may run it can take it: counts, as there may be a thousand."""
    if not others:
        return "no other live server may run it"
    emptied = sum(not host.takes for host in others)
    full = sum(host.takes and host.full and host.name not in failed for host in others)
    parts = [
        f"{emptied} being emptied" if emptied else "",
        f"{full} full" if full else "",
        f"it failed on {listed(failed)}" if failed else "",
    ]
    return f"of {len(others)} that may run it none can: {', '.join(filter(None, parts))}"


def listed(names: list[str]) -> str:
    """Some of the names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _settled_at(servers: Mapping[str, PlannedServer], since: float, settle: float) -> float:
    """When servers that start together with the first one have had time to register; in a fleet that runs, long ago."""
    return min([since, *(server.since for server in servers.values() if server.alive)]) + settle
