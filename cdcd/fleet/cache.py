"""Reads for level-triggered loops: a path is asked for again only when its watch has fired.

So a tick in which nothing changed costs no request, however many nodes a loop looks at. What a broken connection may have
hidden is read again, and so is, a little at each call, what was read a minute ago: no missed watch is for ever.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cdcd.fleet.session import Session, Stored

DOUBT_SECONDS = 60.0
"""After which a node is read again although its watch has not fired."""
DOUBTED_AT_ONCE = 200
"""So many of those at most in one call, so that a hundred thousand are not all read again in the same tick."""
FORGET_SECONDS = 300.0
"""Not asked for that long: out of memory."""

_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Read(Generic[_Value]):
    """One path's last answer. Made before the question is sent, so that a watch that fires meanwhile is not missed."""

    read_at: float
    asked_at: float
    fresh: bool = True
    value: _Value | None = None


class Cache:
    """For one thread; `changed` is set by any. `wait` is what ends its loop's tick."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self.changed = threading.Event()
        """Set when something that was read has changed, or when the connection broke or is back."""
        self._session = session
        self._clock = clock
        self._nodes: dict[str, _Read[Stored]] = {}
        self._children: dict[str, _Read[frozenset[str]]] = {}
        self._breaks = session.breaks
        self._swept = clock()

    def wait(self, seconds: float) -> bool:
        """Sleep until something has changed, at most that long; whether something has."""
        woken = self.changed.wait(seconds)
        self.changed.clear()
        return woken

    def node(self, path: str) -> Stored | None:
        """The node, None if there is none. FindingError as the session raises it."""
        return self.nodes((path,))[path]

    def nodes(self, paths: Iterable[str]) -> dict[str, Stored | None]:
        """The nodes of many paths; those that have to be asked for are asked for together."""
        wanted = dict.fromkeys(paths)
        due = self._due(self._nodes, wanted)
        self._expect(self._nodes, due)
        try:
            for path, value in self._session.many(due, self._node_changed).items():
                self._nodes[path].value = value
        except BaseException:
            self._drop(self._nodes, due)
            raise
        return {path: self._nodes[path].value for path in wanted}

    def children(self, path: str) -> frozenset[str]:
        """Names of the node's children; none of a missing one."""
        if self._due(self._children, (path,)):
            self._expect(self._children, (path,))
            try:
                self._children[path].value = self._session.children(path, self._children_changed)
            except BaseException:
                self._drop(self._children, (path,))
                raise
        return self._children[path].value or frozenset()

    def forget(self, paths: Iterable[str]) -> None:
        """These are about to be written by the caller, who would read on before the watches fire."""
        for path in paths:
            self._nodes.pop(path, None)
            self._children.pop(path.rpartition("/")[0] or "/", None)

    def distrust(self) -> None:
        """Read everything again when it is asked for next."""
        for node in self._nodes.values():
            node.fresh = False
        for children in self._children.values():
            children.fresh = False

    def __len__(self) -> int:
        """How many answers are remembered."""
        return len(self._nodes) + len(self._children)

    def _due(self, known: dict[str, _Read[_Value]], paths: Iterable[str]) -> list[str]:
        """Which of the paths have to be asked for."""
        now = self._clock()
        if self._breaks != self._session.breaks:
            self._breaks = self._session.breaks
            self.distrust()
        self._sweep(now)
        due, doubted = [], 0
        for path in paths:
            read = known.get(path)
            if read is None or not read.fresh:
                due.append(path)
                continue
            read.asked_at = now
            if now - read.read_at > DOUBT_SECONDS and doubted < DOUBTED_AT_ONCE:
                doubted += 1
                due.append(path)
        return due

    def _expect(self, known: dict[str, _Read[_Value]], paths: Iterable[str]) -> None:
        now = self._clock()
        known.update((path, _Read(now, now)) for path in paths)

    @staticmethod
    def _drop(known: dict[str, _Read[_Value]], paths: Iterable[str]) -> None:
        """Some may have been answered; what is asked for again costs little, what is wrongly remembered a lot."""
        for path in paths:
            known.pop(path, None)

    def _sweep(self, now: float) -> None:
        if now - self._swept < DOUBT_SECONDS:
            return
        self._swept = now
        for known in (self._nodes, self._children):
            for path in [path for path, read in known.items() if now - read.asked_at > FORGET_SECONDS]:
                del known[path]

    def _node_changed(self, path: str) -> None:
        self._fired(self._nodes.get(path))

    def _children_changed(self, path: str) -> None:
        self._fired(self._children.get(path))

    def _fired(self, read: "_Read[Stored] | _Read[frozenset[str]] | None") -> None:
        if read is not None:
            read.fresh = False
            self.changed.set()
