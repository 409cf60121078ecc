"""The fleet's tree in ZooKeeper as an operator with a plain client sees and changes it (coordination.md, "Tree")."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, KazooException, NodeExistsError, NoNodeError, SessionExpiredError
from kazoo.handlers.threading import AsyncResult, KazooTimeoutError

Answer = TypeVar("Answer")

_ANSWER = 15.0
"""Seconds for one answer: a ZooKeeper on a busy machine stands still for some."""


class TreeAway(RuntimeError):
    """ZooKeeper did not answer."""


@dataclass(frozen=True, slots=True)
class Node:
    """`content`: its JSON object, empty where it holds none. `owner`: session id of an ephemeral node, else 0."""

    content: dict[str, Any]
    owner: int
    version: int
    data: bytes


class Tree:
    """One client below one chroot. Every method raises TreeAway when ZooKeeper does not answer."""

    def __init__(self, hosts: str, chroot: str) -> None:
        self._chroot = chroot
        self._client = KazooClient(hosts, timeout=10.0)
        if not self._client.start_async().wait(30):
            raise TreeAway(f"nobody answers at {hosts}")

    def close(self) -> None:
        self._client.stop()
        self._client.close()

    def node(self, path: str) -> Node | None:
        """None: there is none."""
        try:
            data, stat = self._answer(lambda: self._client.get_async(self._chroot + path))
        except NoNodeError:
            return None
        except (KazooException, KazooTimeoutError) as error:
            raise TreeAway(path) from error
        return Node(_content(data), stat.ephemeralOwner, stat.version, data)

    def content(self, path: str) -> dict[str, Any]:
        """The JSON object that stands there; empty where nothing does."""
        found = self.node(path)
        return found.content if found else {}

    def children(self, path: str) -> list[str]:
        """Sorted; none of a missing node."""
        try:
            names = self._answer(lambda: self._client.get_children_async(self._chroot + path))
        except NoNodeError:
            return []
        except (KazooException, KazooTimeoutError) as error:
            raise TreeAway(path) from error
        return sorted(names)

    def _answer(self, ask: "Callable[[], AsyncResult[Answer]]") -> Answer:
        """Asked again where the connection breaks before the answer: all that is written here may be written twice."""
        deadline = time.monotonic() + _ANSWER
        while True:
            try:
                return ask().get(timeout=max(0.1, deadline - time.monotonic()))
            except (ConnectionLoss, SessionExpiredError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def put(self, path: str, data: bytes) -> None:
        """Create it, or set it where it stands. What is above it must stand."""
        try:
            self._answer(lambda: self._client.create_async(self._chroot + path, data))
        except NodeExistsError:
            self._answer(lambda: self._client.set_async(self._chroot + path, data))
        except (KazooException, KazooTimeoutError) as error:
            raise TreeAway(path) from error

    def delete(self, path: str) -> None:
        """Nothing happens where there is none."""
        try:
            self._answer(lambda: self._client.delete_async(self._chroot + path))
        except NoNodeError:
            return
        except (KazooException, KazooTimeoutError) as error:
            raise TreeAway(path) from error

    def request(self, instance: str, kind: str, **more: Any) -> None:
        """An operator's order: `move` to a `server`, `restart`."""
        order = {"v": 1, "id": secrets.token_hex(4), "kind": kind, "by": "rig", "at": time.time(), **more}
        self.put(f"/requests/{instance}", json.dumps(order).encode())


def _content(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def session_password(session: int) -> bytes:
    """What ZooKeeper hands out with a session: java.util.Random, seeded with its id (SessionTrackerImpl, `superSecret`)."""
    state, words = ((session ^ 0xB3415C00) ^ 0x5DEECE66D) & (1 << 48) - 1, []
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & (1 << 48) - 1
        words.append((state >> 16 & 0xFFFFFFFF).to_bytes(4, "little"))
    return b"".join(words)


def expire(hosts: str, session: int) -> None:
    """End somebody's session: a second client takes it over and closes it, and its ephemeral nodes are gone.

    Raises LookupError where it had ended already.
    """
    if not _closed(hosts, session):
        raise LookupError(f"session {session:#x} could not be taken over")
    while _closed(hosts, session):  # its owner had it back before it was closed
        pass


def _closed(hosts: str, session: int) -> bool:
    """Take a session over and close it; False: there is none of that id."""
    client = KazooClient(hosts, client_id=(session, session_password(session)))
    if not client.start_async().wait(30):
        raise TreeAway(f"nobody answers at {hosts}")
    taken = client.client_id
    client.stop()
    client.close()
    return taken is not None and taken[0] == session
