"""What the scheduler decides by: the fleet's tree at one moment, and the decision, which is a pure function of it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cdcd.config.fields import check_name
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.definitions import UNREADABLE, Definitions, Reading
from cdcd.fleet.nodes import (
    Assigned,
    InstanceLoad,
    Load,
    Request,
    Running,
    Schedule,
    Server,
    ServerIdOwner,
    Standby,
    decode,
)
from cdcd.fleet.plan import Change, Plan, PlannedInstance, PlannedServer, Policy, plan
from cdcd.fleet.server_ids import choose
from cdcd.fleet.session import Stored
from cdcd.fleet.trouble import NoRights

Node = TypeVar("Node")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """As read; what cannot be understood counts as absent and is named in `garbage`."""

    cluster: str
    definitions: Mapping[str, Reading] = field(default_factory=dict)
    misnamed: frozenset[str] = frozenset()
    """Nodes in /instances whose names can't be names of instances."""
    servers: Mapping[str, PlannedServer] = field(default_factory=dict)
    requests: Mapping[str, Request] = field(default_factory=dict)
    schedule: Mapping[str, Schedule] = field(default_factory=dict)
    running: Mapping[str, str] = field(default_factory=dict)
    """Instance -> server whose worker holds the lock; looked at only where it matters."""
    standby: Mapping[str, Standby] = field(default_factory=dict)
    assigned: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    """Server -> names in its index node; None: garbage."""
    server_ids: Mapping[int, str] = field(default_factory=dict)
    """Number -> the instance that owns it; of a node that cannot be understood nobody."""
    stored: Mapping[str, Stored] = field(default_factory=dict)
    """Path -> node as read of schedule nodes and requests, those with garbage too: writes check their versions."""
    garbage: frozenset[str] = frozenset()
    """Paths of nodes that cannot be understood."""

    def alive(self, server: str | None) -> bool:
        return _alive(self.servers, server)


class SnapshotReader:
    """Reads the tree again and again; what did not change is neither asked for nor parsed twice. For one thread."""

    def __init__(self, cache: Cache, cluster: str) -> None:
        self._cache = cache
        self._cluster = cluster
        self._definitions = Definitions()
        self._servers = _Servers()

    def read(self) -> Snapshot:
        """FindingError if ZooKeeper does not answer: half of a tree is never taken for the whole."""
        read = _Reading(self._cache)
        # Orders before definitions: the definition that an order is for is then there, if it ever was.
        requests = read.decoded(Request, paths.REQUESTS, paths.request)
        names, misnamed = read.names(paths.INSTANCES)
        stored = read.stored(names, paths.definition)
        schedule = _schedule(read)
        servers = self._servers.read(read, schedule)
        server_ids = _server_ids(read)
        watched = sorted(_in_question({*stored, *schedule, *filter(None, server_ids.values())}, schedule, servers))
        running = read.each(Running, watched, paths.running)
        return Snapshot(
            self._cluster,
            self._definitions.read(stored)
            | {name: UNREADABLE for name in names if paths.definition(name) in read.garbage},
            misnamed,
            servers,
            requests,
            schedule,
            {name: node.server for name, node in running.items()},
            read.each(Standby, watched, paths.standby),
            _assigned(read),
            server_ids,
            read.as_stored,
            frozenset(read.garbage),
        )


def _in_question(
    names: Iterable[str], schedule: Mapping[str, Schedule], servers: Mapping[str, PlannedServer]
) -> Iterator[str]:
    """Instances whose lock is of interest: in a hand-over, or without a live server, or no longer defined."""
    for name in names:
        node = schedule.get(name)
        if node is None or node.next is not None or (node.parked is None and not _alive(servers, node.server)):
            yield name


def _alive(servers: Mapping[str, PlannedServer], server: str | None) -> bool:
    return server is not None and server in servers and servers[server].alive


class _Reading:
    """One pass over the tree."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.garbage: set[str] = set()
        self.as_stored: dict[str, Stored] = {}

    def names(self, folder: str) -> tuple[list[str], frozenset[str]]:
        """Children whose names may become paths, and the others."""
        children = self._cache.children(folder)
        legal = {name for name in children if _is_name(name)}
        return sorted(legal), children - legal

    def stored(self, names: Iterable[str], path: paths.OfName) -> dict[str, Stored]:
        """The nodes that are there."""
        by_path = {path(name): name for name in names}
        found = self._readable(by_path)
        return {by_path[at]: node for at, node in found.items() if node is not None}

    def _readable(self, wanted: Iterable[str]) -> dict[str, Stored | None]:
        """Those that its access control list lets us read; one that a stranger made must not hide the others."""
        try:
            return self._cache.nodes(wanted)
        except NoRights:
            found = {}
            for path in wanted:
                try:
                    found[path] = self._cache.node(path)
                except NoRights:
                    self.garbage.add(path)
            return found

    def each(self, kind: type[Node], names: Iterable[str], path: paths.OfName) -> dict[str, Node]:
        """The nodes that are there and can be understood."""
        return self._decoded(kind, self.stored(names, path), path)

    def decoded(self, kind: type[Node], folder: str, path: paths.OfName) -> dict[str, Node]:
        """The same of all children of a folder."""
        return self._decoded(kind, self.folder(folder, path), path)

    def _decoded(self, kind: type[Node], stored: Mapping[str, Stored], path: paths.OfName) -> dict[str, Node]:
        found = {}
        for name, node in stored.items():
            self.as_stored[path(name)] = node
            value = decode(kind, node.data)
            if value is None:
                self.garbage.add(path(name))
            else:
                found[name] = value
        return found

    def folder(self, folder: str, path: paths.OfName) -> dict[str, Stored]:
        """All children of a folder."""
        names, illegal = self.names(folder)
        self.garbage |= {f"{folder}/{name}" for name in illegal}
        return self.stored(names, path)


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- of servers


class _Servers:
    """Remembers the last load of each that could be understood: garbage there takes no server's instances away."""

    def __init__(self) -> None:
        self._loads: dict[str, Load] = {}

    def read(self, read: _Reading, schedule: Mapping[str, Schedule]) -> dict[str, PlannedServer]:
        registered = read.folder(paths.SERVERS, paths.server)
        reported = read.folder(paths.LOAD, paths.load)
        drained, _ = read.names(paths.DRAINED)
        loads = {name: load for name, node in reported.items() if (load := _load(read, name, node)) is not None}
        gone = {name: _gone(load, reported[name].changed_at) for name, load in loads.items()}
        self._loads = {name: load for name, load in self._loads.items() if name in registered} | loads
        made = {name: _live(read, name, node, self._loads.get(name)) for name, node in registered.items()}
        for name in made.keys() & set(drained):
            made[name] = replace(made[name], draining=True)
        for name in made.keys() - self._loads.keys():
            # Nothing is known of it yet: it keeps what it has, and gets no more.
            made[name] = replace(made[name], max_instances=sum(node.names(name) for node in schedule.values()))
        return gone | made


def _load(read: _Reading, name: str, node: Stored) -> Load | None:
    load = decode(Load, node.data)
    if load is None or not 0 < load.capacity < math.inf:
        read.garbage.add(paths.load(name))
        return None
    return load


def _live(read: _Reading, name: str, node: Stored, load: Load | None) -> PlannedServer:
    """A registration with garbage in it is one all the same."""
    server = decode(Server, node.data)
    if server is None:
        read.garbage.add(paths.server(name))
    versions = server.definitions if server is not None else (1,)
    planned = _gone(load or Load(0.0, 1.0), node.changed_at)
    return replace(planned, alive=True, draining=load is not None and load.stopping, versions=versions)


def _gone(load: Load, since: float) -> PlannedServer:
    return PlannedServer(
        alive=False,
        since=since,
        capacity=load.capacity,
        labels=load.labels,
        max_instances=load.max_instances,
        instances={name: _plausible(each) for name, each in load.instances.items()},
        failures=load.failures,
    )


def _plausible(load: InstanceLoad) -> InstanceLoad:
    """Rates that a broken server or a hand wrote must not turn the balance upside down."""
    if load.bytes_per_second >= 0 and load.rows_per_second >= 0:
        return load
    return replace(load, bytes_per_second=0.0, rows_per_second=0.0, measured=0.0)


# ---------------------------------------------------------------- of the scheduler's own nodes


def _schedule(read: _Reading) -> dict[str, Schedule]:
    nodes = read.decoded(Schedule, paths.SCHEDULE, paths.schedule)
    spoilt = {name for name, node in nodes.items() if not all(map(_is_name, filter(None, (node.server, node.next))))}
    read.garbage |= {paths.schedule(name) for name in spoilt}
    return {name: node for name, node in nodes.items() if name not in spoilt}


def _assigned(read: _Reading) -> dict[str, frozenset[str] | None]:
    names, _ = read.names(paths.ASSIGNED)
    stored = read.stored(names, paths.assigned)
    decoded = {name: decode(Assigned, node.data) for name, node in stored.items()}
    return {name: None if node is None else frozenset(node.instances) for name, node in decoded.items()}


def _server_ids(read: _Reading) -> dict[int, str]:
    names, _ = read.names(paths.SERVER_IDS)
    numbers = [name for name in names if name.isdecimal() and str(int(name)) == name]
    stored = read.stored(numbers, lambda name: paths.server_id(int(name)))
    owners = {int(name): decode(ServerIdOwner, node.data) for name, node in stored.items()}
    return {
        number: owner.instance if owner is not None and _is_name(owner.instance) else ""
        for number, owner in owners.items()
    }


# ---------------------------------------------------------------- the decision


def decide(snapshot: Snapshot, now: float, policy: Policy, since: float) -> Plan:
    """What should be written now; pure. `since`: when the scheduler was elected."""
    instances = {name: _planned(snapshot, name, reading) for name, reading in snapshot.definitions.items()}
    drafted = plan(instances, snapshot.servers, snapshot.schedule, now, policy, since)
    return replace(drafted, changes=tuple(_numbered(snapshot, drafted.changes)))


def _planned(snapshot: Snapshot, name: str, reading: Reading) -> PlannedInstance:
    request, standby = snapshot.requests.get(name), snapshot.standby.get(name)
    runner = snapshot.running.get(name)
    if request is None and standby is None and runner is None:
        return reading.planned
    ready = None if standby is None else (standby.server, standby.generation)
    return replace(reading.planned, request=request, runner=runner, standby=ready)


def _numbered(snapshot: Snapshot, changes: Iterable[Change]) -> Iterator[Change]:
    """The changes with each instance's MySQL server_id; and schedule nodes that contradict the registry, mended."""
    owned = {instance: number for number, instance in sorted(snapshot.server_ids.items(), reverse=True) if instance}
    taken = set(snapshot.server_ids)

    def number(instance: str) -> int:
        if instance not in owned:
            owned[instance] = choose(snapshot.cluster, instance, taken)
            taken.add(owned[instance])
        return owned[instance]

    changed = set()
    for change in changes:
        changed.add(change.instance)
        node = change.node
        yield change if node is None else replace(change, node=replace(node, server_id=number(change.instance)))
    for instance in sorted(snapshot.schedule.keys() - changed):
        node = snapshot.schedule[instance]
        if instance in snapshot.definitions and owned.get(instance) != node.server_id:
            mended = replace(node, server_id=number(instance))
            yield Change(instance, mended, f"its MySQL server_id is {mended.server_id}, as the registry says")


def foresee(cache: Cache, cluster: str, now: float, policy: Policy) -> Plan:
    """What the elected scheduler would do now, for people to look at; nothing is written."""
    term = cache.node(paths.SCHEDULER_EPOCH)
    return decide(SnapshotReader(cache, cluster).read(), now, policy, since=term.changed_at if term else now)
