"""One ZooKeeper session: connects, keeps its ephemeral nodes alive, reads and writes; the wrapper around kazoo.

Built for loops that read, decide and act: every call waits at most a few seconds and raises `ZooKeeperAway` (retry) when
the answer did not come, in which case a write may or may not have been done: read again. While the connection is broken
calls fail at once. All methods may be called by any thread but those that call `on_state` and `changed`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from kazoo.client import KazooClient, TransactionRequest
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    ConnectionLoss,
    InvalidACLError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    SessionClosedRequireSaslError,
    SessionExpiredError,
    SessionMovedError,
    ZookeeperError,
)
from kazoo.handlers.threading import AsyncResult, KazooTimeoutError
from kazoo.protocol.states import WatchedEvent, ZnodeStat
from kazoo.security import ACL, Permissions

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet.connection import Connection, State, boottime, close_session
from cdcd.fleet.trouble import (
    NoRights,
    ZooKeeperAway,
    auth_failed,
    no_rights,
    slow,
    suspended,
    too_large,
    unexpected,
)

__all__ = [
    "Changed",
    "Check",
    "Create",
    "Delete",
    "Operation",
    "Session",
    "Set",
    "State",
    "Stored",
    "ZooKeeperAway",
    "boottime",
    "close_session",
]

Changed = Callable[[str], None]
"""Told the path, once, in another thread: something changed there, or the connection broke. Must not call the session."""

LARGEST_NODE = 1_000_000
"""Bytes; ZooKeeper closes the connection at 1 MiB (jute.maxbuffer), and the packet holds more than the data."""
LONGEST_WAIT = 10.0
"""Seconds for one answer, if the session timeout is not shorter."""
PIPELINE = 500
"""Reads under way at one time; a ZooKeeper server holds back its clients at 1000 (globalOutstandingLimit)."""

_Answer = TypeVar("_Answer")
_CHANGING = Permissions.WRITE | Permissions.CREATE | Permissions.DELETE | Permissions.ADMIN


@dataclass(frozen=True, slots=True)
class Stored:
    """A node as read. `owner`: session id of an ephemeral node, else 0. `created`, `changed`: czxid and mzxid."""

    data: bytes
    version: int
    created: int
    changed: int
    owner: int
    changed_at: float
    """Unix seconds, by the ensemble's clock."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may change a node."""

    path: str
    open_to_all: bool
    """Everybody who reaches ZooKeeper."""
    parent: bool
    """There are nodes below it."""


@dataclass(frozen=True, slots=True)
class Create:
    """Part of a `multi`: refused if the node exists or its parent does not."""

    path: str
    data: bytes = b""
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Set:
    """Part of a `multi`: refused if there is no such node or version."""

    path: str
    data: bytes
    version: int = -1


@dataclass(frozen=True, slots=True)
class Delete:
    """Part of a `multi`: refused if there is no such node or version, or it has children."""

    path: str
    version: int = -1


@dataclass(frozen=True, slots=True)
class Check:
    """Part of a `multi`: refused if there is no such node or version."""

    path: str
    version: int


Operation = Create | Set | Delete | Check


class Session(Connection):
    """`name` is for logs. `on_state` is called in kazoo's thread and must not call back."""

    def __init__(
        self,
        ensemble: ZooKeeper,
        credentials: Credentials,
        name: str,
        on_state: Callable[[State], None] = lambda _: None,
    ) -> None:
        super().__init__(ensemble, credentials, name, on_state)
        self.answered = 0.0
        """CLOCK_BOOTTIME of sending the last request of ours that was answered."""
        self._watched: dict[tuple[str, str], set[Changed]] = {}
        self._watching = threading.Lock()

    # ---------------------------------------------------------------- reading

    def get(self, path: str, changed: Changed | None = None, *, confirmed: bool = False) -> Stored | None:
        """The node, None if there is none. `changed` is called when it changes, is made or deleted.

        `confirmed`: by the leader's word. Without it a follower that is cut off may show old news for a few seconds.
        """
        watch = self._watch("node", path, changed)
        if confirmed:
            self._send(lambda client: client.sync_async(self._at(path)))
        while True:
            try:
                return _stored(*self._ask(path, lambda client: client.get_async(self._at(path), watch)))
            except NoNodeError:
                if watch is None or not self._exists(path, watch):
                    return None

    def sync(self, path: str) -> None:
        """Returns once the leader has answered for this session: what changed before has been told to watches by then."""
        self._ask(path, lambda client: client.sync_async(self._at(path)))

    def children(self, path: str, changed: Changed | None = None) -> frozenset[str]:
        """Names of a node's children; of a missing node none. `changed` is called when one is made or deleted."""
        watch = self._watch("children", path, changed)
        while True:
            try:
                names = self._ask(path, lambda client: client.get_children_async(self._at(path), watch))
                return frozenset(names)
            except NoNodeError:
                if watch is None or not self._exists(path, watch):
                    return frozenset()

    def many(self, paths: Iterable[str], changed: Changed | None = None) -> dict[str, Stored | None]:
        """The nodes of many paths, asked for without waiting for each answer."""
        found: dict[str, Stored | None] = {}
        for path, answer in self._sent(paths, lambda path: self._getting(path, changed)):
            try:
                found[path] = _stored(*self._await(path, answer))
            except NoNodeError:
                found[path] = None
        if changed is not None:  # a get of a missing node sets no watch
            missing = [path for path, node in found.items() if node is None]
            for path, exists in self._sent(missing, lambda path: self._looking(path, changed)):
                if self._await(path, exists) is not None:
                    found[path] = self.get(path, changed)
        return found

    def access(self, paths: Iterable[str]) -> list[Access]:
        """Of these nodes; missing ones are left out."""
        lists = self._each(paths, lambda path: lambda client: client.get_acls_async(self._at(path)))
        return [Access(path, any(map(_lets_all_change, acls)), stat.numChildren > 0) for path, (acls, stat) in lists]

    def open_to_all(self, paths: Iterable[str]) -> bool:
        """Whether everybody who reaches ZooKeeper may change one of these nodes."""
        return any(each.open_to_all for each in self.access(paths))

    def below(self, paths: Iterable[str]) -> list[str]:
        """Paths of the children of these nodes; a missing one has none."""
        names = self._each(paths, lambda path: lambda client: client.get_children_async(self._at(path)))
        return [f"{path}/{name}" for path, children in names for name in sorted(children)]

    def _each(
        self, paths: Iterable[str], request: "Callable[[str], Callable[[KazooClient], AsyncResult[_Answer]]]"
    ) -> "Iterator[tuple[str, _Answer]]":
        """Left out: missing nodes, and those that are somebody else's alone."""
        for path, answer in self._sent(paths, request):
            with suppress(NoNodeError, NoRights):
                yield path, self._await(path, answer)

    def _sent(
        self, paths: Iterable[str], request: "Callable[[str], Callable[[KazooClient], AsyncResult[_Answer]]]"
    ) -> "Iterator[tuple[str, tuple[float, AsyncResult[_Answer]]]]":
        """Asked for without waiting for each answer, `PIPELINE` of them ahead."""
        asking = iter(paths)
        while batch := list(islice(asking, PIPELINE)):
            yield from [(path, self._send(request(path))) for path in batch]

    # ---------------------------------------------------------------- writing

    def create(self, path: str, data: bytes = b"", *, ephemeral: bool = False) -> bool:
        """False: it exists. Makes missing parents (persistent, empty).

        If the connection breaks before the answer, the node is looked at once there is one again: an ephemeral of this
        session, or a persistent with this data, was made by us.
        """
        self._check_size(path, data)
        me = self.id
        try:
            self._ask(path, lambda client: client.create_async(self._at(path), data, ephemeral=ephemeral))
        except NodeExistsError:
            return False
        except NoNodeError:
            self.make(path.rpartition("/")[0])
            return self.create(path, data, ephemeral=ephemeral)
        except ZooKeeperAway:
            if not self._connected.wait(self._patience):
                raise
            found = self.get(path)
            if found is None:
                raise
            return found.owner == me if ephemeral else found.data == data
        return True

    def make(self, path: str) -> None:
        """The persistent node and all above it, the chroot too, empty where they are missing."""
        parts = self._at(path).split("/")[1:]
        for depth in range(1, len(parts) + 1):
            absolute = "/" + "/".join(parts[:depth])
            try:
                # Looked at first: to read what is there needs no right, to try to create it does.
                if self._ask(absolute, lambda client, at=absolute: client.exists_async(at)) is None:  # type: ignore[misc]
                    self._ask(absolute, lambda client, at=absolute: client.create_async(at))  # type: ignore[misc]
            except NodeExistsError:
                pass

    def set(self, path: str, data: bytes, version: int = -1) -> bool:
        """False: there is no such node or version."""
        self._check_size(path, data)
        try:
            self._ask(path, lambda client: client.set_async(self._at(path), data, version))
        except (NoNodeError, BadVersionError):
            return False
        return True

    def delete(self, path: str, version: int = -1) -> bool:
        """False: there is no such node or version, or it has children."""
        try:
            self._ask(path, lambda client: client.delete_async(self._at(path), version))
        except (NoNodeError, BadVersionError, NotEmptyError):
            return False
        return True

    def multi(self, *operations: Operation) -> bool:
        """All or none; False: one was refused. All their data together has to stay below 1 MB."""
        self._check_size(
            operations[0].path, b"".join(each.data for each in operations if isinstance(each, Create | Set))
        )
        request = self._usable().transaction()
        for operation in operations:
            self._add(request, operation)
        # Answers in the place of results are exceptions that are returned, not raised.
        results = self._ask(operations[0].path, lambda _: request.commit_async())
        if refused := next((each for each in results if isinstance(each, NoAuthError)), None):
            raise no_rights(operations[results.index(refused)].path)
        return not any(isinstance(each, Exception) for each in results)

    def _add(self, request: TransactionRequest, operation: Operation) -> None:
        path = self._at(operation.path)
        match operation:
            case Create(_, data, ephemeral):
                request.create(path, data, ephemeral=ephemeral)
            case Set(_, data, version):
                request.set_data(path, data, version)
            case Delete(_, version):
                request.delete(path, version)
            case Check(_, version):
                request.check(path, version)

    # ---------------------------------------------------------------- asking

    def _at(self, path: str) -> str:
        return self._ensemble.chroot if path in {"", "/"} else self._ensemble.chroot + path

    @staticmethod
    def _check_size(path: str, data: bytes) -> None:
        if len(data) > LARGEST_NODE:
            raise too_large(path, len(data), LARGEST_NODE)

    @property
    def _patience(self) -> float:
        return min(self.timeout, LONGEST_WAIT)

    def _exists(self, path: str, watch: Callable[[WatchedEvent], None]) -> bool:
        return self._ask(path, lambda client: client.exists_async(self._at(path), watch)) is not None

    def _getting(self, path: str, changed: Changed | None) -> "Callable[[KazooClient], AsyncResult[Any]]":
        watch = self._watch("node", path, changed)
        return lambda client: client.get_async(self._at(path), watch)

    def _looking(self, path: str, changed: Changed) -> "Callable[[KazooClient], AsyncResult[ZnodeStat | None]]":
        watch = self._watch("node", path, changed)
        return lambda client: client.exists_async(self._at(path), watch)

    def _ask(self, path: str, request: "Callable[[KazooClient], AsyncResult[_Answer]]") -> _Answer:
        return self._await(path, self._send(request))

    def _send(self, request: "Callable[[KazooClient], AsyncResult[_Answer]]") -> "tuple[float, AsyncResult[_Answer]]":
        client = self._usable()
        return boottime(), request(client)

    def _await(self, path: str, sent: "tuple[float, AsyncResult[_Answer]]") -> _Answer:
        at, result = sent
        with self._translated(path):
            try:
                answer = result.get(timeout=self._patience)
            except (NoNodeError, BadVersionError, NodeExistsError, NotEmptyError, NoAuthError):
                self.answered = max(self.answered, at)
                raise
        self.answered = max(self.answered, at)
        return answer

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except (NoNodeError, BadVersionError, NodeExistsError, NotEmptyError):
            raise
        except NoAuthError:
            raise no_rights(self._at(path)) from None
        except (AuthFailedError, SessionClosedRequireSaslError, InvalidACLError):  # the last: who are we to own nodes?
            raise auth_failed(self._client_log.last_failure) from None
        except KazooTimeoutError:
            raise slow(self._patience) from None
        except (ConnectionLoss, SessionExpiredError, SessionMovedError):
            raise suspended(self._client_log.last_failure) from None
        except ZookeeperError as error:
            raise unexpected(self._at(path), type(error).__name__) from None

    # ---------------------------------------------------------------- what kazoo tells

    def _watch(self, kind: str, path: str, changed: Changed | None) -> Callable[[WatchedEvent], None] | None:
        """Kazoo is given the same two functions for all watches, so that asking again for one adds nothing."""
        if changed is None:
            return None
        with self._watching:
            self._watched.setdefault((kind, path), set()).add(changed)
        return self._node_changed if kind == "node" else self._children_changed

    def _node_changed(self, event: WatchedEvent) -> None:
        self._tell("node", event.path)

    def _children_changed(self, event: WatchedEvent) -> None:
        self._tell("children", event.path)

    def _tell(self, kind: str, absolute: str | None) -> None:
        """No path: the connection broke, and kazoo has dropped all watches."""
        with self._watching:
            if absolute is None:
                told, self._watched = self._watched, {}
            else:
                key = kind, absolute[len(self._ensemble.chroot) :] or "/"
                told = {key: self._watched.pop(key, set())}
        for (_, path), listeners in told.items():
            for changed in listeners:
                changed(path)


def _stored(data: bytes, stat: ZnodeStat) -> Stored:
    return Stored(data, stat.version, stat.czxid, stat.mzxid, stat.ephemeralOwner, stat.mtime / 1000)


def _lets_all_change(acl: ACL) -> bool:
    return bool(acl.id.scheme == "world" and acl.perms & _CHANGING)
