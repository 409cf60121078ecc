"""What the scheduler decides by: the fleet's tree at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdcd.config.fields import is_name
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.definitions import UNREADABLE, Definitions, Reading
from cdcd.fleet.nodes import Assigned, Request, Running, Schedule, ServerIdOwner, Standby
from cdcd.fleet.plan import PlannedServer
from cdcd.fleet.reading import TreeReader
from cdcd.fleet.servers import Servers
from cdcd.fleet.session import Stored


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
        return server is not None and server in self.servers and self.servers[server].alive


class SnapshotReader:
    """Reads the tree again and again; what did not change is neither asked for nor parsed twice. For one thread."""

    def __init__(self, cache: Cache, cluster: str) -> None:
        self._cluster = cluster
        self._tree = TreeReader(cache)
        self._definitions = Definitions()
        self._servers = Servers()

    def read(self) -> Snapshot:
        """FindingError if ZooKeeper does not answer: half of a tree is never taken for the whole."""
        tree = self._tree
        tree.begin()
        # Orders before definitions: the definition that an order is for is then there, if it ever was.
        requests = tree.decoded(Request, paths.REQUESTS)
        names = tree.names(paths.INSTANCES)
        definitions = self._definitions.read(tree.nodes(paths.INSTANCES))
        unreadable = {names.legal[path]: UNREADABLE for path in names.legal.keys() & tree.garbage}
        schedule, server_ids = _schedule(tree), _server_ids(tree)
        moving = [name for name, node in schedule.items() if node.next is not None]
        deleted = set(server_ids.values()) - definitions.keys() - unreadable.keys() - schedule.keys() - {""}
        # In this order: a successor that takes the lock removes its standby with it, so that one of the two is seen.
        standby = tree.each(Standby, moving, paths.standby)
        running = tree.each(Running, [*moving, *deleted], paths.running)
        return Snapshot(
            self._cluster,
            definitions | unreadable,
            names.illegal,
            self._servers.read(tree, schedule),
            requests,
            schedule,
            {name: node.server for name, node in running.items()},
            standby,
            _assigned(tree),
            server_ids,
            tree.stored,
            frozenset(tree.garbage - {f"{paths.INSTANCES}/{name}" for name in names.illegal}),
        )


def _schedule(tree: TreeReader) -> dict[str, Schedule]:
    nodes = tree.decoded(Schedule, paths.SCHEDULE)
    spoilt = {name for name, node in nodes.items() if not all(map(is_name, filter(None, (node.server, node.next))))}
    tree.garbage |= {paths.schedule(name) for name in spoilt}
    return {name: node for name, node in nodes.items() if name not in spoilt}


def _assigned(tree: TreeReader) -> dict[str, frozenset[str] | None]:
    decoded = tree.decoded(Assigned, paths.ASSIGNED)
    return {
        name: frozenset(decoded[name].instances) if name in decoded else None for name in tree.nodes(paths.ASSIGNED)
    }


def _server_ids(tree: TreeReader) -> dict[int, str]:
    decoded = tree.decoded(ServerIdOwner, paths.SERVER_IDS)
    owners = {name: decoded[name].instance if name in decoded else "" for name in tree.nodes(paths.SERVER_IDS)}
    return {int(name): owner if is_name(owner) else "" for name, owner in owners.items() if _is_number(name)}


def _is_number(name: str) -> bool:
    return name.isdecimal() and str(int(name)) == name
