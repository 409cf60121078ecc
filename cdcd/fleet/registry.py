"""Who belongs to the fleet: the tree itself, each server's registration, and its child of the load-balance node."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from cdcd.errors import Finding, FindingError
from cdcd.fleet import paths
from cdcd.fleet.nodes import Cluster, Load, Server, decode, encode
from cdcd.fleet.session import Create, Delete, Session, Stored
from cdcd.fleet.trouble import ZooKeeperAway

POLL_SECONDS = 0.2


def ensure_tree(session: Session, cluster: str) -> None:
    """Make what is missing of the fleet's tree. FindingError (operator) if it belongs to another fleet."""
    if session.get(paths.CLUSTER) is None:
        for folder in paths.FOLDERS:
            session.make(folder)
        session.create(paths.CLUSTER, encode(Cluster(cluster)))
    for folder in paths.FOLDERS:  # those of a newer version, and those that somebody removed
        session.make(folder)
    check_tree(session, cluster)


def check_tree(session: Session, cluster: str) -> None:
    """FindingError (operator) unless this is the tree of the fleet `cluster`; nothing is made."""
    found = session.get(paths.CLUSTER)
    if found is None:
        raise _finding(
            "fleet-missing",
            "There is no fleet's tree at this place in ZooKeeper: no server has ever run here",
            "Check `zookeeper.hosts` and `zookeeper.chroot`; the first `cdcd run` makes the tree.",
        )
    known = decode(Cluster, found.data)
    if known is None:
        raise _finding(
            "fleet-unreadable",
            f"{paths.CLUSTER} holds nothing that this cdcd understands: {found.data[:80]!r}",
            "A newer cdcd made it: run that version. Or something else stands there: choose another `zookeeper.chroot`.",
        )
    if known.id != cluster:
        raise _finding(
            "fleet-mismatch",
            f"The tree in ZooKeeper belongs to the fleet `{known.id}`, the settings say cluster `{cluster}`",
            f"Set `cluster` to `{known.id}`, or give this fleet another `zookeeper.chroot`.",
        )


def acl_open(session: Session) -> bool:
    """Whether everybody who reaches ZooKeeper may change the fleet's tree: to be warned of."""
    return session.open_to_all(["/", *paths.FOLDERS])


OPEN_TREE = Finding(
    "zookeeper-open",
    "operator",
    "Everybody who reaches ZooKeeper may change the fleet's tree",
    "Set `zookeeper.auth` before the first start; for a tree that exists give it to the account as well: "
    "setAcl -R <chroot> auth::cdrwa.",
)
"""The warning that goes with `acl_open`."""


class Registration:
    """A server's two nodes: `/servers/<id>`, which says that it lives, and `/load/<id>`, which says what it runs."""

    def __init__(self, session: Session, server_id: str, server: Server) -> None:
        self._session = session
        self._id = server_id
        self._server = server
        self._data = encode(server)
        self._log = structlog.get_logger()

    def enter(self, proceed: Callable[[], None] = lambda: None) -> None:
        """Register. An earlier process of the same id that was killed is succeeded at once where that is certain, so that
        nobody takes its instances for orphans; else its session is waited for.

        FindingError (operator) `server-id-taken` if it goes on living. `proceed` is called meanwhile and may raise.
        """
        deadline = time.monotonic() + 1.5 * self._session.timeout + 1.0
        told = False
        while (other := self._other()) is not None:
            if self._succeeds(other):
                return
            if time.monotonic() > deadline:
                raise self._taken(other)
            if not told:
                self._log.info("server.waiting", reason=f"{self._whose(other)} holds the server id {self._id}")
                told = True
            proceed()
            time.sleep(POLL_SECONDS)

    def hold(self) -> None:
        """See to it that the registration stands, as after a session that was lost. Call it at each tick.

        FindingError (operator) if another process has taken the server id meanwhile.
        """
        if (other := self._other()) is not None:
            raise self._taken(other)

    def report(self, load: Load) -> None:
        """Write the load-balance node's child."""
        data, path = encode(load), paths.load(self._id)
        if not self._session.set(path, data):
            self._session.create(path, data)

    def leave(self) -> None:
        """Take the registration back: the scheduler sees it at once. The load stays."""
        found = self._session.get(self._path)
        if found is not None and found.owner == self._session.id:
            self._session.delete(self._path, found.version)

    @property
    def _path(self) -> str:
        return paths.server(self._id)

    def _other(self) -> Stored | None:
        """None once the node is ours, else who has it."""
        found = self._session.get(self._path)
        if found is not None and found.owner != self._session.id and found.data == self._data:
            # Made by this very process (host, pid and start are the same) in a session that was lost before it was over.
            self._session.delete(self._path, found.version)
            found = None
        if found is None:
            if self._session.create(self._path, self._data, ephemeral=True):
                return None
            found = self._session.get(self._path)
        if found is not None and found.owner == self._session.id:
            if found.data != self._data:
                self._session.set(self._path, self._data, found.version)
            return None
        if found is None:
            raise ZooKeeperAway(_vanished(self._path))
        return found

    def _succeeds(self, other: Stored) -> bool:
        """Take the place of a process of this pid space that is no more."""
        before = decode(Server, other.data)
        if before is None or not before.pid_space or before.pid_space != self._server.pid_space or _lives(before.pid):
            return False
        taken = self._session.multi(Delete(self._path, other.version), Create(self._path, self._data, ephemeral=True))
        if taken:
            self._log.info("server.succeeded", reason=f"process {before.pid} of this server is gone")
        return taken

    def _taken(self, other: Stored) -> FindingError:
        return _finding(
            "server-id-taken",
            f"The server id `{self._id}` is in use: {self._whose(other)}",
            "Give each server an id of its own (`server_id`, else the host name), or stop the other one.",
        )

    def _whose(self, other: Stored) -> str:
        server = decode(Server, other.data)
        return f"process {server.pid} on {server.host}" if server else f"ZooKeeper session {other.owner:#x}"


def pid_space() -> str:
    """Of this process: two processes of one space know each other's pids."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"


def _lives(pid: int) -> bool:
    """Not asked of /proc: systemd's ProtectProc= leaves out there whose memory is private, cdcd's own processes too."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _vanished(path: str) -> Finding:
    return Finding(
        "zookeeper-changing",
        "retry",
        f"{path} was made and removed by others meanwhile",
        "It is tried again by itself.",
    )


def _finding(code: str, what: str, remedy: str) -> FindingError:
    return FindingError(Finding(code, "operator", what, remedy))
