"""A plan's changes as writes to the tree: what belongs together in one multi, several of them up to a reasonable size."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cdcd.fleet import paths
from cdcd.fleet.nodes import Assigned, Schedule, ServerIdOwner, encode
from cdcd.fleet.plan import Change
from cdcd.fleet.session import Check, Create, Delete, Operation, Set
from cdcd.fleet.snapshot import Snapshot

CHANGES_AT_ONCE = 50
BYTES_AT_ONCE = 256 << 10
"""Of a multi; ZooKeeper closes the connection at 1 MiB."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Changes that are written together."""

    changes: tuple[Change, ...]
    operations: tuple[Operation, ...]
    index: Mapping[str, frozenset[str]]
    """Server -> names: what the operations bring its index node to."""


class Writes:
    """Knows what has been written since the snapshot was read, so that the index nodes are right after each multi."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._index = dict(snapshot.assigned)
        self._numbers = set(snapshot.server_ids)
        self._names = index_of(snapshot.schedule)

    def portions(self, changes: Iterable[Change]) -> Iterator[Portion]:
        """In groups by server, so that few index nodes are written often. Tell `done` of each that went through."""
        group: list[Change] = []
        size, touched = 0, set[str]()
        for change in sorted(changes, key=self._place):
            servers = self._servers(change)
            added = _size(change) + sum(map(self._index_size, servers - touched))
            if group and (len(group) == CHANGES_AT_ONCE or size + added > BYTES_AT_ONCE):
                yield self.portion(group)
                group, size, touched = [], 0, set()
                added = _size(change) + sum(map(self._index_size, servers))
            group.append(change)
            size += added
            touched |= servers
        if group:
            yield self.portion(group)

    def portion(self, changes: Iterable[Change]) -> Portion:
        """The writes of these changes, after all that are done."""
        changes = tuple(changes)
        names: dict[str, set[str]] = {}
        for change in changes:
            for server in self._servers(change):
                index = names.setdefault(server, set(self._names.get(server, ())))
                named = change.node is not None and change.node.names(server)
                (index.add if named else index.discard)(change.instance)
        frozen = {server: frozenset(each) for server, each in sorted(names.items())}
        operations = [operation for change in changes for operation in self._operations(change)]
        return Portion(changes, (*operations, *self._indexing(frozen)), frozen)

    def done(self, portion: Portion) -> None:
        """It was written."""
        for server, names in portion.index.items():
            self._names[server] = self._index[server] = names
            if not names:
                del self._names[server], self._index[server]
        self._numbers |= {change.node.server_id for change in portion.changes if change.node is not None}

    def index_repairs(self) -> tuple[Operation, ...]:
        """For index nodes that are not what the schedule nodes say: garbage, changed or removed by hand."""
        wanted = {server: self._names.get(server, frozenset()) for server in self._names.keys() | self._index.keys()}
        return tuple(self._indexing(dict(sorted(wanted.items()))))

    def _indexing(self, index: Mapping[str, frozenset[str]]) -> Iterator[Operation]:
        for server, names in index.items():
            path, stands = paths.assigned(server), server in self._index
            if not names and stands:
                yield Delete(path)
            elif names and self._index.get(server) != names:
                data = encode(Assigned(tuple(sorted(names))))
                yield Set(path, data) if stands else Create(path, data)

    def _operations(self, change: Change) -> Iterator[Operation]:
        """Refused as a whole if somebody has changed one of the nodes since the snapshot was read."""
        name, node = change.instance, change.node
        if node is not None and node.server is not None:
            # Who pauses an instance and then sees no schedule node can rely on it that none comes after.
            yield Check(paths.definition(name), self._snapshot.definitions[name].node_version)
        if node is None or node != self._snapshot.schedule.get(name):
            yield from self._scheduling(paths.schedule(name), node)
        if node is not None and node.server_id not in self._numbers:
            yield Create(paths.server_id(node.server_id), encode(ServerIdOwner(name)))
        if change.serves is not None:
            path = paths.request(name)
            yield Delete(path, self._snapshot.stored[path].version)

    def _scheduling(self, path: str, node: Schedule | None) -> Iterator[Operation]:
        stored = self._snapshot.stored.get(path)
        if node is not None:
            yield Create(path, encode(node)) if stored is None else Set(path, encode(node), stored.version)
        elif stored is not None:
            yield Delete(path, stored.version)

    def _servers(self, change: Change) -> set[str]:
        """Whose index this change may be about."""
        nodes = (self._snapshot.schedule.get(change.instance), change.node)
        named = {server for node in nodes if node is not None for server in (node.server, node.next)}
        return {server for server in named if server is not None}

    def _place(self, change: Change) -> tuple[str, str]:
        return max(self._servers(change), default=""), change.instance

    def _index_size(self, server: str) -> int:
        return sum(len(name) + 3 for name in self._names.get(server, ()))


def index_of(schedule: Mapping[str, Schedule]) -> dict[str, frozenset[str]]:
    """Server -> instances whose schedule nodes name it."""
    names: dict[str, set[str]] = {}
    for instance, node in schedule.items():
        for server in (node.server, node.next):
            if server is not None:
                names.setdefault(server, set()).add(instance)
    return {server: frozenset(each) for server, each in names.items()}


def _size(change: Change) -> int:
    return len(encode(change.node)) if change.node is not None else 0
