"""Reading the tree again and again: what has not changed is neither asked for (cache.py) nor looked at twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cdcd.config.fields import is_name
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.nodes import decode
from cdcd.fleet.session import Stored
from cdcd.fleet.trouble import NoRights

Node = TypeVar("Node")


@dataclass(frozen=True, slots=True)
class Names:
    """The children of a folder."""

    children: frozenset[str]
    legal: Mapping[str, str]
    """Path -> name of those whose names may become paths."""
    illegal: frozenset[str]


class TreeReader:
    """For one thread. `begin` starts a pass; `garbage` and `stored` are then of this pass."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._names: dict[str, Names] = {}
        self._nodes: dict[str, dict[str, Stored]] = {}
        self._decoded: dict[str, tuple[Stored, Any]] = {}
        self._decoded_before: dict[str, tuple[Stored, Any]] = {}
        self.garbage: set[str] = set()
        """Paths of nodes that cannot be understood."""
        self.stored: dict[str, Stored] = {}
        """Path -> node of all that was decoded."""

    def begin(self) -> None:
        self._decoded_before, self._decoded = self._decoded, {}
        self._nodes, self.garbage, self.stored = {}, set(), {}

    def names(self, folder: str) -> Names:
        children, known = self._cache.children(folder), self._names.get(folder)
        if known is None or known.children is not children:
            legal = {f"{folder}/{name}": name for name in sorted(children) if is_name(name)}
            known = self._names[folder] = Names(children, legal, children - set(legal.values()))
        return known

    def nodes(self, folder: str) -> dict[str, Stored]:
        """All children of a folder by name: in one pass always the same."""
        if folder not in self._nodes:
            names = self.names(folder)
            self.garbage |= {f"{folder}/{name}" for name in names.illegal}
            self._nodes[folder] = self._present(names.legal)
        return self._nodes[folder]

    def decoded(self, kind: type[Node], folder: str) -> dict[str, Node]:
        """The same, of those that can be understood."""
        return self._values(kind, {f"{folder}/{name}": (name, node) for name, node in self.nodes(folder).items()})

    def each(self, kind: type[Node], names: Iterable[str], path: paths.OfName) -> dict[str, Node]:
        """The nodes of these instances that are there and can be understood."""
        present = self._present({path(name): name for name in names})
        return self._values(kind, {path(name): (name, node) for name, node in present.items()})

    def _present(self, by_path: Mapping[str, str]) -> dict[str, Stored]:
        found = self._readable(by_path)
        return {name: node for path, name in by_path.items() if (node := found.get(path)) is not None}

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

    def _values(self, kind: type[Node], present: Mapping[str, tuple[str, Stored]]) -> dict[str, Node]:
        values = {}
        for path, (name, node) in present.items():
            self.stored[path] = node
            known = self._decoded_before.get(path)
            value = known[1] if known is not None and known[0] is node else decode(kind, node.data)
            self._decoded[path] = node, value
            if value is None:
                self.garbage.add(path)
            else:
                values[name] = value
        return values
