"""What operators do with the fleet: read it, and write the nodes that are theirs (/instances, /drained, /requests).

Any ZooKeeper client may write those nodes as well; nothing here is needed for the fleet to work.
"""

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from cdcd.config.fields import is_name
from cdcd.fleet import paths
from cdcd.fleet.nodes import (
    Assigned,
    Cluster,
    Drained,
    Epoch,
    Load,
    Mirror,
    Request,
    Running,
    Schedule,
    Server,
    Standby,
    Status,
    decode,
    encode,
)
from cdcd.fleet.session import Session, Stored
from cdcd.fleet.trouble import NoRights
from cdcd.fleet.view import Defined, Fleet, defined

Node = TypeVar("Node")

UNREADABLE = b"ZooKeeper's access control list of this node does not let us read it"
"""Stands for the content of such a node; no node's form."""


@dataclass(frozen=True, slots=True)
class Details:
    """All that is known of one instance."""

    defined: Defined | None
    schedule: Schedule | None
    running: Running | None
    lock: Stored | None
    """The lock's node: `created` tells one holding from the next."""
    standby: Standby | None
    epoch: int | None
    mirror: Mirror | None
    status: Status | None
    request: Request | None

    @property
    def exists(self) -> bool:
        return self.defined is not None or self.schedule is not None or self.lock is not None

    @property
    def remembered(self) -> bool:
        """Whether something of an earlier run is kept."""
        return self.epoch is not None or self.mirror is not None or self.status is not None


class Operators:
    """`by`: who asks, for the nodes that say so."""

    def __init__(self, session: Session, by: str) -> None:
        self._session = session
        self.by = by

    # ---------------------------------------------------------------- reading

    def fleet(self, names: Iterable[str] = ()) -> Fleet:
        """Everything, or, of instances, only `names`: two requests for each, and one for each server."""
        asked = frozenset(names)
        found = asked or (self._session.children(paths.INSTANCES) | self._session.children(paths.SCHEDULE))
        servers = self._session.children(paths.SERVERS)
        drained = self._session.children(paths.DRAINED)
        return Fleet(
            defined={name: defined(name, stored) for name, stored in self._folder(paths.INSTANCES, found).items()},
            schedule=self._nodes(Schedule, paths.SCHEDULE, found),
            servers=self._nodes(Server, paths.SERVERS, servers),
            loads=self._nodes(Load, paths.LOAD, self._session.children(paths.LOAD)),
            drained=_whatever(self._folder(paths.DRAINED, drained)),
            scheduler=_text(self._session.get(paths.LEADER)),
        )

    def names(self) -> list[str]:
        """Instances that are defined."""
        return sorted(self._session.children(paths.INSTANCES))

    def server_names(self) -> list[str]:
        """Servers that live, or have left something behind."""
        folders = (paths.SERVERS, paths.LOAD, paths.DRAINED)
        return sorted(frozenset().union(*map(self._session.children, folders)))

    def drained(self) -> frozenset[str]:
        """Servers that are to take no instances."""
        return self._session.children(paths.DRAINED)

    def live_servers(self) -> frozenset[str]:
        return self._session.children(paths.SERVERS)

    def defined(self, name: str) -> Defined | None:
        stored = self._session.get(f"{paths.INSTANCES}/{name}")
        return defined(name, stored) if stored else None

    def details(self, name: str) -> Details:
        if not is_name(name):
            # Somebody's node below /instances: no other path is made of such a name.
            return Details(self.defined(name), None, None, None, None, None, None, None, None)
        definition = f"{paths.INSTANCES}/{name}"
        where = {
            kind: path(name)
            for kind, path in (
                # First the order: one that is gone was served, and the schedule node that is read after it shows that.
                (Request, paths.request), (Schedule, paths.schedule), (Running, paths.running),
                (Standby, paths.standby), (Epoch, paths.epoch), (Mirror, paths.position), (Status, paths.status),
            )
        }  # fmt: skip
        found = self._session.many([definition, *where.values()])
        stored, lock = found[definition], found[where[Running]]
        read: dict[type, Any] = {kind: decode(kind, _data(found[path])) for kind, path in where.items()}
        return Details(
            defined=defined(name, stored) if stored else None,
            schedule=read[Schedule],
            running=read[Running],
            lock=lock,
            standby=read[Standby],
            epoch=read[Epoch].epoch if read[Epoch] else None,
            mirror=read[Mirror],
            status=read[Status],
            request=read[Request],
        )

    def statuses(self, names: Iterable[str]) -> dict[str, Status]:
        """What their workers say."""
        asked = {paths.status(name): name for name in names if is_name(name)}
        found = {asked[path]: decode(Status, _data(stored)) for path, stored in self._session.many(asked).items()}
        return {name: status for name, status in found.items() if status is not None}

    def cluster(self) -> str | None:
        """Cluster id; None before the first server was started."""
        cluster = decode(Cluster, _data(self._session.get(paths.CLUSTER)))
        return cluster.id if cluster else None

    def open_to_all(self) -> bool:
        """Whether everybody who reaches ZooKeeper may change definitions."""
        return self._session.open_to_all(["/", paths.INSTANCES])

    def remains(self, name: str) -> list[str]:
        """What there still is of an instance that is to be stopped, in words; empty when it has stopped (rule 10)."""
        if not is_name(name):
            return []
        found = self._session.many([paths.schedule(name), paths.running(name)])
        schedule, lock = found[paths.schedule(name)], found[paths.running(name)]
        words = []
        if schedule is not None:
            node = decode(Schedule, schedule.data)
            words.append(f"its schedule node{f' (server {node.server})' if node and node.server else ''}")
        if lock is not None:
            holder = decode(Running, lock.data)
            words.append(f"its lock{f', held by {holder.server} (pid {holder.pid})' if holder else ''}")
        # The load of a server that is gone says what it ran when it went.
        loads = {} if words else self._nodes(Load, paths.LOAD, self.live_servers())
        return words + [f"the load node of {server}" for server, load in loads.items() if name in load.instances]

    def left_on(self, server: str) -> list[str]:
        """Instances that a server which is being drained has not given away."""
        found = self._session.many([paths.assigned(server), paths.load(server)])
        assigned = decode(Assigned, _data(found[paths.assigned(server)]))
        load = decode(Load, _data(found[paths.load(server)])) if server in self.live_servers() else None
        return sorted({*(assigned.instances if assigned else ()), *(load.instances if load else ())})

    # ---------------------------------------------------------------- writing

    def define(self, name: str, text: str, version: int | None) -> bool:
        """Write a definition; `version` of the node it was made from, None: there was none. False: it has changed since."""
        path, data = paths.definition(name), text.encode()
        return self._session.create(path, data) if version is None else self._session.set(path, data, version)

    def touch(self, stands: Defined) -> bool:
        """Write a definition again as it stands: changed, as the scheduler sees it. False: it has changed since."""
        return self._session.set(paths.definition(stands.name), stands.stored.data, stands.stored.version)

    def undefine(self, name: str, version: int) -> bool:
        """Remove a definition. False: it has changed since, or is gone. Also one whose name is none."""
        return self._session.delete(f"{paths.INSTANCES}/{name}", version)

    def order(
        self,
        name: str,
        kind: Literal["move", "restart", "set_position"],
        server: str | None = None,
        position: dict[str, Any] | str | None = None,
    ) -> Request | None:
        """Write a request node. None: there is one already, which is to be served first."""
        request = Request(secrets.token_hex(8), kind, self.by, time.time(), server, position)
        return request if self._session.create(paths.request(name), encode(request)) else None

    def request(self, name: str) -> tuple[Request | None, int] | None:
        """The request that waits and its node's version; None: there is none."""
        stored = self._session.get(paths.request(name))
        return (decode(Request, stored.data), stored.version) if stored else None

    def withdraw(self, name: str, version: int) -> bool:
        """Remove a request. False: it has been served, or is another one by now."""
        return self._session.delete(paths.request(name), version)

    def drain(self, server: str, why: str) -> bool:
        """False: it is drained already, for the same reason."""
        path, node = paths.drained(server), Drained(self.by, time.time(), why)
        if self._session.create(path, encode(node)):
            return True
        stands = decode(Drained, _data(self._session.get(path)))
        if stands is not None and why in {"", stands.why}:
            return False
        return self._session.set(path, encode(node))

    def uncordon(self, server: str) -> bool:
        """False: it was not drained."""
        return self._session.delete(paths.drained(server))

    def retire(self, server: str) -> None:
        """Remove what a server that is down has left behind. One that comes back at this moment writes its load again."""
        for path in (paths.load(server), paths.drained(server)):
            self._session.delete(path)

    def forget(self, name: str) -> None:
        """Remove /state/<name> with all that is in it; the instance must have stopped."""
        folder = paths.state(name)
        for child in self._session.children(folder):
            self._session.delete(f"{folder}/{child}")
        self._session.delete(folder)

    # ---------------------------------------------------------------- folders

    def _folder(self, folder: str, names: Iterable[str]) -> dict[str, Stored]:
        at = {f"{folder}/{name}": name for name in sorted(names)}
        return {at[path]: stored for path, stored in self._readable(at).items() if stored is not None}

    def _readable(self, wanted: Iterable[str]) -> dict[str, Stored | None]:
        """Those that we may read: one that a stranger made must not hide the others."""
        try:
            return self._session.many(wanted)
        except NoRights:
            return {path: self._readable_one(path) for path in wanted}

    def _readable_one(self, path: str) -> Stored | None:
        try:
            return self._session.get(path)
        except NoRights:
            return Stored(UNREADABLE, -1, 0, 0, 0, 0.0)

    def _nodes(self, kind: type[Node], folder: str, names: Iterable[str]) -> dict[str, Node]:
        read = {name: decode(kind, stored.data) for name, stored in self._folder(folder, names).items()}
        return {name: node for name, node in read.items() if node is not None}


def _data(stored: Stored | None) -> bytes | None:
    return stored.data if stored else None


def _text(stored: Stored | None) -> str | None:
    return stored.data.decode(errors="replace") if stored else None


def _whatever(found: Mapping[str, Stored]) -> dict[str, Drained]:
    """A node there means drained, whatever stands in it: `zkCli create /drained/a ""` will do."""
    return {
        server: decode(Drained, stored.data) or Drained("somebody", stored.changed_at)
        for server, stored in found.items()
    }
