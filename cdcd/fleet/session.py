"""One ZooKeeper session: connects, keeps its ephemeral nodes alive, reads and writes; the wrapper around kazoo.

Built for loops that read, decide and act: every call waits at most a few seconds and raises `ZooKeeperAway` (retry) when
the answer did not come, in which case a write may or may not have been done: read again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import FindingError

State = Literal["connected", "suspended", "lost"]


class ZooKeeperAway(FindingError):
    """No answer; class `retry`. A write that was under way may or may not have been done."""


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


class Create: ...  # (path, data, ephemeral=False)


class Set: ...  # (path, data, version=-1)


class Delete: ...  # (path, version=-1)


class Check: ...  # (path, version)


class Session:
    def __init__(
        self,
        ensemble: ZooKeeper,
        credentials: Credentials,
        name: str,
        on_state: Callable[[State], None] = lambda state: None,
    ) -> None:
        """`name` is for logs. `on_state` is called in kazoo's thread and must not call back."""

    # start(timeout) / close() / state / id (session id) / password / timeout (negotiated, seconds)
    # get(path, changed=None) -> Stored | None        `changed`: called once, in another thread, when the node changes, is made or deleted
    # children(path, changed=None) -> frozenset[str]  of a missing node: none
    # create(path, data, ephemeral=False) -> bool     False: it exists. Makes missing parents (persistent, empty).
    # set(path, data, version=-1) -> bool             False: no such node or version
    # delete(path, version=-1) -> bool
    # multi(*operations) -> bool                      all or none; False: one was refused
    # many(paths) -> dict[path, Stored | None]        pipelined gets
    # answered: float                                 CLOCK_BOOTTIME of sending the last request of ours that was answered
