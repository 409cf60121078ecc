"""The fleet as people see it: what the nodes say of each instance and each server, put into one word and one sentence.

Pure: made of what `cdcd.fleet.operators` has read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cdcd.config.definition import Definition, load_definition
from cdcd.config.fields import check_name
from cdcd.errors import InvalidConfig, Problem
from cdcd.fleet.nodes import Drained, InstanceLoad, Load, Schedule, Server
from cdcd.fleet.session import Stored


@dataclass(frozen=True, slots=True)
class Defined:
    """What stands at /instances/<name>."""

    name: str
    stored: Stored
    definition: Definition | None
    """None where it has `problems`."""
    problems: tuple[Problem, ...] = ()

    @property
    def paused(self) -> bool:
        return self.definition is not None and self.definition.paused


def defined(name: str, stored: Stored) -> Defined:
    """Reads a definition as every server does: mistakes are found, not raised."""
    try:
        check_name(name)
    except ValueError as error:
        return Defined(name, stored, None, (Problem("name", f"the node's name {error}"),))
    try:
        definition = load_definition(stored.data, name)
    except InvalidConfig as error:
        return Defined(name, stored, None, error.problems)
    if definition.name != name:
        problem = Problem("name", f"must be `{name}`, the name of its node in /instances")
        return Defined(name, stored, None, (problem,))
    return Defined(name, stored, definition)


@dataclass(frozen=True, slots=True)
class Fleet:
    """One reading of the fleet; not of one moment, but of few seconds."""

    defined: Mapping[str, Defined]
    schedule: Mapping[str, Schedule]
    servers: Mapping[str, Server]
    """Those that live."""
    loads: Mapping[str, Load]
    """Also of servers that are gone."""
    drained: Mapping[str, Drained] = field(default_factory=dict)
    scheduler: str | None = None
    """The server that is elected."""

    def reported(self, instance: str) -> dict[str, InstanceLoad]:
        """Live server -> what it says of the instance."""
        return {
            server: load.instances[instance]
            for server, load in sorted(self.loads.items())
            if server in self.servers and instance in load.instances
        }

    @property
    def instances(self) -> list[str]:
        """All that are defined, and those that are about to be stopped."""
        running = {name for server, load in self.loads.items() if server in self.servers for name in load.instances}
        return sorted({*self.defined, *self.schedule, *running})

    @property
    def every_server(self) -> list[str]:
        """Those that live, and those that have left something behind."""
        return sorted({*self.servers, *self.loads, *self.drained})


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One line about an instance."""

    name: str
    state: str
    """Of its worker (cdcd.observe.metrics.STATES, `waiting`, `standby`), or, where it has none: `invalid`, `paused`,
    `parked`, `unassigned`, `assigned` (the server has not started it yet), `server-lost`, `stopping`."""
    server: str | None
    """That runs it, or is to run it."""
    next: str | None = None
    """That is to take it over."""
    reason: str = ""
    epoch: int | None = None
    lag_seconds: float | None = None
    rows_per_second: float | None = None
    bytes_per_second: float | None = None
    since: float | None = None
    """Last change of the schedule node."""
    failed: tuple[str, ...] = ()
    """Servers that are avoided."""

    @property
    def settled(self) -> bool:
        """Nothing is on its way."""
        return self.state not in {"assigned", "waiting", "standby", "starting", "stopping"} and self.next is None


def instance_view(fleet: Fleet, name: str, now: float, waiting: Mapping[str, str] | None = None) -> InstanceView:
    """`waiting`: why instances that no server runs have to wait, as the plan says."""
    schedule, reported = fleet.schedule.get(name), fleet.reported(name)
    server = _runner(schedule, reported)
    load = reported.get(server) if server else None
    state, reason = _state(fleet, name, load, (waiting or {}).get(name))
    return InstanceView(
        name,
        state,
        server,
        next=schedule.next if schedule else None,
        reason=reason,
        epoch=load.epoch if load else None,
        lag_seconds=load.lag_seconds if load else None,
        rows_per_second=load.rows_per_second if load else None,
        bytes_per_second=load.bytes_per_second if load else None,
        since=schedule.at if schedule else None,
        failed=tuple(each for each, failure in sorted(schedule.failed.items()) if failure.until > now)
        if schedule
        else (),
    )


def _runner(schedule: Schedule | None, reported: Mapping[str, InstanceLoad]) -> str | None:
    """Who holds the lock by its own report; else who is to run it."""
    holding = next((server for server, load in reported.items() if load.epoch is not None), None)
    if holding is not None or schedule is None:
        return holding or next(iter(reported), None)
    return schedule.server


def _state(fleet: Fleet, name: str, load: InstanceLoad | None, waits: str | None) -> tuple[str, str]:
    """(state, reason)"""
    stands, schedule = fleet.defined.get(name), fleet.schedule.get(name)
    if stands is None:
        return "stopping", "deleted; its worker has not ended yet"
    if stands.problems:
        return _invalid(stands, schedule, load)
    if stands.paused:
        going = schedule is not None or load is not None
        return ("stopping", "paused; its worker has not ended yet") if going else ("paused", "")
    if schedule is not None and schedule.parked:
        return "parked", f"{schedule.parked.reason}. {schedule.parked.remedy}"
    if load is not None:
        return load.state, schedule.reason if schedule else "it is no longer to run here"
    return _not_begun(fleet, schedule, waits)


def _invalid(stands: Defined, schedule: Schedule | None, load: InstanceLoad | None) -> tuple[str, str]:
    mistakes = "; ".join(map(str, stands.problems))
    if load is None or (schedule is not None and schedule.parked):
        return "invalid", mistakes
    return load.state, f"runs on as it was defined before; the definition now: {mistakes}"


def _not_begun(fleet: Fleet, schedule: Schedule | None, waits: str | None) -> tuple[str, str]:
    if schedule is None or schedule.server is None:
        return "unassigned", waits or (schedule.reason if schedule else "the scheduler has not placed it yet")
    if schedule.server not in fleet.servers:
        return "server-lost", waits or f"{schedule.server} is gone; another server is to take it over"
    return "assigned", schedule.reason


ServerState = Literal["ready", "drained", "draining", "stopping", "down"]


@dataclass(frozen=True, slots=True)
class ServerView:
    """One line about a server."""

    id: str
    state: ServerState
    """`draining`: drained, but it still runs something."""
    reason: str
    assigned: int
    """Instances whose schedule nodes name it."""
    running: int
    """Instances that it says it runs."""
    parked: int
    max_instances: int | None
    capacity: float | None
    load: float | None
    """Over its capacity, as the scheduler counts it; None: not known, or it is down."""
    rows_per_second: float
    bytes_per_second: float
    lag_seconds: float | None
    """The longest of its instances."""
    host: str
    http: str
    version: str
    since: float | None
    labels: Mapping[str, str]
    scheduler: bool
    """Whether it is the one that is elected."""


def server_view(fleet: Fleet, server: str, load_of: Mapping[str, float] | None = None) -> ServerView:
    """`load_of`: live server -> load over capacity, as the plan says."""
    alive, load, drained = fleet.servers.get(server), fleet.loads.get(server), fleet.drained.get(server)
    instances = load.instances if alive and load else {}
    state, reason = _server_state(alive, load, drained)
    lags = [each.lag_seconds for each in instances.values() if each.lag_seconds is not None]
    return ServerView(
        server,
        state,
        reason,
        assigned=sum(node.names(server) for node in fleet.schedule.values()),
        running=sum(each.state != "parked" for each in instances.values()),
        parked=sum(each.state == "parked" for each in instances.values()),
        max_instances=load.max_instances if load else None,
        capacity=load.capacity if load else None,
        load=(load_of or {}).get(server) if alive else None,
        rows_per_second=sum(each.rows_per_second for each in instances.values()),
        bytes_per_second=sum(each.bytes_per_second for each in instances.values()),
        lag_seconds=max(lags, default=None),
        host=alive.host if alive else "",
        http=alive.http if alive else "",
        version=alive.version if alive else "",
        since=alive.since if alive else None,
        labels=load.labels if load else {},
        scheduler=fleet.scheduler == server,
    )


def _server_state(alive: Server | None, load: Load | None, drained: Drained | None) -> tuple[ServerState, str]:
    asked = f"drained by {drained.by}{f': {drained.why}' if drained.why else ''}" if drained else ""
    if alive is None:
        return "down", asked
    if load is not None and load.stopping:
        return "stopping", asked
    if drained is not None:
        return ("draining" if load and load.instances else "drained"), asked
    return "ready", "" if load else "it has not reported yet"
