"""The lock of one instance, held by the worker's own ZooKeeper session (coordination.md; the contract: worker/ownership.py).

Two threads. The hot thread takes the lock, claims the epoch, asks before each commit. The keeper asks ZooKeeper five times in a
session timeout whether the lock is still ours, which is all that extends the lease; it watches the schedule node, the
definition and the standby node; and it writes what people look at. What it finds out it leaves in the Holding and in
`order`, for the hot thread to find.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable

import orjson
import structlog

from cdcd.binlog.position import PositionRecord
from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import CdcdError, FindingError, HoldingLost, NotOwner
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.holding import Holding, Role
from cdcd.fleet.mirror import PositionMirror, StatusNote
from cdcd.fleet.nodes import Epoch, Mirror, Request, Running, Schedule, Standby, Status, decode, encode
from cdcd.fleet.session import (
    Check,
    Create,
    Delete,
    Operation,
    Session,
    State,
    Stored,
    ZooKeeperAway,
    boottime,
)
from cdcd.fleet.stance import Order, order, stance
from cdcd.observe.failpoints import Failpoint

STEP_SECONDS = 0.2
"""Longest that a waiting hot thread does not look whether it is to stop."""
CLOSE_SECONDS = 2.0
RENEWALS = 5
"""So often in a session timeout the lease is renewed: two answers in a row may be missing before it is over."""


class ZooKeeperOwnership:
    """Implements cdcd.worker.ownership.InFleet.

    `proceed` is called while the hot thread waits and raises Stopped. `news` is called, by any thread, when `check` or `order`
    answer otherwise than before. `stuck` is called with the reason when the lease has been over for a third of the session
    timeout and the hot thread has not asked `check` since: it must end the process at once.
    """

    def __init__(
        self,
        ensemble: ZooKeeper,
        credentials: Credentials,
        instance: str,
        server: str,
        *,
        proceed: Callable[[], None],
        news: Callable[[], None],
        failpoint: Failpoint,
        stuck: Callable[[str], None],
    ) -> None:
        self.nonce = secrets.token_hex(8)
        self.order: Order | None = None
        self._instance, self._server = instance, server
        self._proceed, self._news, self._failpoint, self._stuck = proceed, news, failpoint, stuck
        self._session = Session(ensemble, credentials, f"{instance}@{server}", self._state)
        self._cache = Cache(self._session)
        self._mirror = PositionMirror(self._session, instance, failpoint)
        self._status = StatusNote(self._session, instance, self._cache.changed.set)
        self._holding = Holding()
        self._renewed_at = 0.0
        """When the keeper last asked for the lock."""
        self._schedule: Schedule | None = None
        self._standby: Standby | None = None
        self._definition: Stored | None = None
        self._definition_read: int | None = None
        """Its mzxid when the hot thread last read it, 0 if it was deleted then; None: never read."""
        self._stirred = threading.Event()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._log = structlog.get_logger().bind(sync_instance=instance)

    # ---------------------------------------------------------------- the process around the instance

    @property
    def role(self) -> Role:
        """What it is now. No I/O."""
        return self._holding.role

    @property
    def session(self) -> tuple[int, bytes]:
        """Id and password of the ZooKeeper session."""
        return self._session.id, self._session.password

    def connect(self) -> None:
        """Begin the session. FindingError where that fails: call it again. NotOwner: the schedule names another server."""
        self._session.start()
        self._session.make(paths.state(self._instance))
        self._look()
        if self._schedule is None or not self._schedule.names(self._server):
            raise NotOwner(f"the schedule does not name {self._server}")
        self._keeper.start()

    def definition(self) -> bytes | None:
        """As it was a moment ago, None where it is deleted; from now on a change of it is an order. No I/O."""
        found = self._definition
        self._definition_read = 0 if found is None else found.changed
        self._reorder()
        return None if found is None else found.data

    def tell(self, status: Status) -> None:
        """To be written to the status node soon; of several the newest."""
        self._status.tell(status)

    def close(self) -> None:
        """Write mirror and status once more and end the session, which removes lock or standby node. Never raises."""
        self._closing.set()
        self._cache.changed.set()
        if self._keeper.ident is not None:
            self._keeper.join(CLOSE_SECONDS)
        if not self._keeper.is_alive() and self._session.state == "connected":
            self._mirror.hurry()
            self._status.hurry()
            try:
                self._write_mirror()
                self._write_status()
            except CdcdError as error:
                self._log.warning("ownership.closing", reason=str(error))
        self._session.close(CLOSE_SECONDS)

    # ---------------------------------------------------------------- the hot thread

    def acquire(self) -> None:
        """Wait until the lock is ours; at once where it is and ZooKeeper confirms it.

        NotOwner: the schedule names this server no more. FindingError: ZooKeeper does not let us.
        """
        self._holding.hear()
        while True:
            self._stirred.clear()
            self._proceed()
            self._holding.refuse_if_over()
            try:
                if self._try():
                    return
            except ZooKeeperAway as error:
                self._holding.doubt(str(error.finding))
            self._pause(self._session.timeout / RENEWALS)

    def claim(self, newest: PositionRecord | None) -> int:
        """The epoch of this holding: above the lock's transaction id, all before it and `newest`. Stored in ZooKeeper."""
        holding = self._holding
        while holding.epoch is None:
            holding.check()
            assert holding.lock is not None
            with _Asking():
                found = self._session.get(paths.epoch(self._instance), confirmed=True)
                before = decode(Epoch, found.data) if found else None
                epochs = (before.epoch if before else 0, newest.epoch if newest else 0)
                self._claim(max(holding.lock.created, *(epoch + 1 for epoch in epochs)), found)
        return holding.epoch[0]

    def confirm(self) -> None:
        """Ask ZooKeeper. NotOwner if the lock is not ours, HoldingLost if there is no answer."""
        self.check()
        with _Asking():
            self._verify()
        self.check()

    def check(self) -> None:
        """What is known here, without asking: NotOwner, or HoldingLost if the lock has to be confirmed first."""
        self._holding.check()

    def hand_over(self) -> bool:
        """Give the lock to the standby. False: it, the schedule node or our epoch has changed; `acquire` and go on."""
        self.check()
        running, schedule_path, standby_path = self._watched_paths()
        with _Asking():
            found = self._session.many((running, schedule_path, standby_path))
            lock, schedule, standby = (found[path] for path in (running, schedule_path, standby_path))
            held, epoch = self._holding.lock, self._holding.epoch
            if lock is None or schedule is None or standby is None or epoch is None:
                return False
            named, ready = decode(Schedule, schedule.data), decode(Standby, standby.data)
            given_up = order(self._server, named, ready, redefined=False) == "hand_over"
            if not given_up or not self._holding.is_lock(lock, self._session.id):
                return False
            self._holding.lock = None  # so that the keeper does not take it for lost
            done = self._session.multi(
                Check(standby_path, standby.version),
                Check(schedule_path, schedule.version),
                Check(paths.epoch(self._instance), epoch[1]),
                Delete(running, lock.version),
            )
        if not done:
            self._holding.lock = held
            return False
        self._holding.hear()
        self._end("handed over")
        self._log.info("lock.handed_over", reason=f"to {ready.server if ready else None}", epoch=epoch[0])
        return True

    def stored(self, record: PositionRecord) -> None:
        """Mirrored by the keeper, soon."""
        self._mirror.show(record)

    def mirrored(self) -> PositionRecord | None:
        """The mirror, of whichever holding; None if there is none that can be read."""
        with _Asking():
            found = self._session.get(paths.position(self._instance), confirmed=True)
        mirror = decode(Mirror, found.data) if found else None
        return None if mirror is None else PositionRecord.from_json(orjson.dumps(mirror.record))

    def position_request(self) -> Request | None:
        """The order to set the position, if there is one."""
        with _Asking():
            found = self._session.get(paths.request(self._instance))
        request = decode(Request, found.data) if found else None
        return request if request is not None and request.kind == "set_position" else None

    def served(self, request: Request) -> None:
        """Remove that order unless another has taken its place. HoldingLost where that is not certain."""
        path = paths.request(self._instance)
        with _Asking():
            found = self._session.get(path, confirmed=True)
            standing = decode(Request, found.data) if found else None
            if found is None or standing is None or standing.id != request.id:
                return
            epoch = self._holding.epoch
            if epoch is None or not self._session.multi(
                Check(paths.epoch(self._instance), epoch[1]), Delete(path, found.version)
            ):
                raise HoldingLost("the order that was served has changed, or the epoch")

    # ---------------------------------------------------------------- taking the lock

    def _try(self) -> bool:
        """One look at the nodes, and what follows from it. Whether the lock is ours now."""
        running, schedule_path, standby_path = self._watched_paths()
        found = self._session.many((running, schedule_path, standby_path), self._stir)
        lock, schedule, standby = (found[path] for path in (running, schedule_path, standby_path))
        if lock is not None and lock.owner == self._session.id:
            return self._verify()
        if self._holding.lock is not None:
            self._lose()
        named = decode(Schedule, schedule.data) if schedule else None
        if schedule is not None and named is None:
            return False  # garbage: the scheduler will write it anew
        ready = decode(Standby, standby.data) if standby else None
        match stance(self._server, named, ready, free=lock is None):
            case "leave":
                raise NotOwner(f"the schedule does not name {self._server}")
            case "take":
                assert schedule is not None
                return self._take(schedule, standby)
            case "stand_by":
                assert named is not None
                self._stand_by(named.generation, standby)
            case "wait":
                self._holding.role = "waiting"
        return False

    def _take(self, schedule: Stored, standby: Stored | None) -> bool:
        """One multi; if its answer does not come, the next look shows whose the lock is."""
        running, schedule_path, standby_path = self._watched_paths()
        me = Running(self._server, socket.gethostname(), os.getpid(), time.time())
        operations: list[Operation] = [
            Check(schedule_path, schedule.version),
            Create(running, encode(me), ephemeral=True),
        ]
        if standby is not None and standby.owner == self._session.id:
            operations.append(Delete(standby_path, standby.version))
        if not self._session.multi(*operations):
            self._stirred.set()  # something has changed: look again at once
            return False
        return self._verify()

    def _stand_by(self, generation: int, standby: Stored | None) -> None:
        path, data = paths.standby(self._instance), encode(Standby(self._server, generation))
        if standby is None:
            mine = self._session.create(path, data, ephemeral=True)
        elif standby.owner == self._session.id:
            mine = standby.data == data or self._session.set(path, data, standby.version)
        else:
            mine = False  # of a successor that was named before, or of a killed worker of ours: it will go
        self._holding.role = "standby" if mine else "waiting"

    def _verify(self) -> bool:
        """Ask whose the lock is. Whether it is ours beyond doubt; the first time that begins a holding."""
        sent, doubts, holding = boottime(), self._holding.doubts, self._holding
        lock = self._session.get(paths.running(self._instance), confirmed=True)
        if holding.lock is None and lock is not None and lock.owner == self._session.id:
            self._begin(lock)
        if not holding.is_lock(lock, self._session.id):
            if holding.lock is not None:
                self._lose()
            return False
        return holding.confirmed(sent, self._session.timeout, doubts)

    def _begin(self, lock: Stored) -> None:
        self._holding.begin(lock)
        self._mirror.hurry()
        self._log.info("lock.acquired", reason=f"transaction {lock.created:#x}")
        self._failpoint("lock.acquired")
        self._cache.changed.set()

    def _lose(self) -> None:
        self._end("the lock was lost: somebody removed it")
        self._holding.refuse_if_over()

    def _claim(self, epoch: int, found: Stored | None) -> None:
        """By compare-and-set; refused means that somebody else writes there: look again.

        Not in the session that comes after the one of the lock: nothing would tell the lock's next owner's epoch from ours.
        """
        self._holding.check()
        path, data = paths.epoch(self._instance), encode(Epoch(epoch))
        if found is None:
            if self._session.multi(Create(path, data)):
                self._holding.epoch = epoch, 0
        elif self._session.set(path, data, found.version):
            self._holding.epoch = epoch, found.version + 1
        else:
            self._verify()

    def _end(self, reason: str) -> None:
        self._holding.end(reason)
        self._news()

    def _watched_paths(self) -> tuple[str, str, str]:
        return paths.running(self._instance), paths.schedule(self._instance), paths.standby(self._instance)

    def _stir(self, path: str) -> None:
        del path
        self._stirred.set()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stirred.wait(STEP_SECONDS) and time.monotonic() < deadline:
            self._proceed()
            self._holding.refuse_if_over()

    # ---------------------------------------------------------------- the keeper

    def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                for step in (self._look, self._write_mirror, self._write_status):
                    self._renew()
                    step()
            except ZooKeeperAway:
                pass  # told by the session; the lease runs
            except FindingError as error:
                self._log.warning("ownership.trouble", reason=str(error.finding), finding=error.finding.code)
            except Exception as error:  # noqa: BLE001 - a defect must not leave a worker without a keeper
                self._log.exception("ownership.failed", reason="a defect of cdcd: please report it with this log")
                self._end(f"the keeper failed: {error}")
                return
            if self._holding.unheard(self._session.timeout / 3):
                self._stuck("the lease is over, and the thread that publishes has not looked at it since")
            self._cache.wait(max(0.0, self._renewed_at + self._session.timeout / RENEWALS - boottime()))

    def _renew(self) -> None:
        """Five times in a session timeout, also where each answer takes long.

        One request: an answer by the leader shows that the session lives, the unfired watch that the lock was not deleted.
        """
        sent, held, path = boottime(), self._holding.lock, paths.running(self._instance)
        if sent < self._renewed_at + self._session.timeout / RENEWALS:
            return
        self._renewed_at = sent
        if held is None:
            return
        self._session.sync(path)
        lock = self._cache.node(path)
        if not self._holding.is_lock(lock, self._session.id):  # or its watch has not come through yet
            lock = self._session.get(path, confirmed=True)
        if self._holding.lock is not held:
            return  # handed over meanwhile
        if self._holding.is_lock(lock, self._session.id):
            self._holding.extend(sent, self._session.timeout)
        else:
            self._end("the lock was lost: somebody removed it")

    def _look(self) -> None:
        """At schedule, definition and standby; costs no request while nothing changes."""
        definition = paths.definition(self._instance)
        _, schedule, standby = self._watched_paths()
        found = self._cache.nodes((schedule, definition, standby))
        self._definition = found[definition]
        written, waiting = found[schedule], found[standby]
        if written is None:
            self._schedule = None
        else:
            self._schedule = decode(Schedule, written.data) or self._schedule  # garbage changes nothing
        self._standby = decode(Standby, waiting.data) if waiting else None
        self._reorder()

    def _reorder(self) -> None:
        """Orders are for the owner; who only waits and is not named any more goes by itself."""
        definition = self._definition
        redefined = definition is not None and self._definition_read not in {None, definition.changed}
        wanted = order(self._server, self._schedule, self._standby, redefined=redefined)
        if self.role != "owner":
            if wanted == "leave" and self._holding.over is None and self._holding.lock is None:
                self._end(f"the schedule does not name {self._server}")
            wanted = None
        if wanted != self.order:
            self.order = wanted
            self._news()

    def _write_mirror(self) -> None:
        """While there is an epoch to fence it with."""
        epoch = self._holding.epoch
        if self._holding.lock is None or epoch is None or self._mirror.write(epoch[1]):
            return
        found = self._session.get(paths.epoch(self._instance), confirmed=True)
        if found is not None and found.version != epoch[1]:
            self._end("a greater epoch was claimed")

    def _write_status(self) -> None:
        """Unless somebody else runs the instance."""
        if self._holding.lock is not None or self._cache.node(paths.running(self._instance)) is None:
            self._status.write()

    # ---------------------------------------------------------------- kazoo's thread

    def _state(self, state: State) -> None:
        if self._closing.is_set() or state == "connected":
            self._stirred.set()
            return
        self._holding.doubt("the connection to ZooKeeper is suspended")
        if state == "lost":
            self._holding.over = "the ZooKeeper session is over"
        self._failpoint("zk.suspended")
        self._stirred.set()
        self._news()


class _Asking:
    """Around questions of an owner: no answer means that the holding cannot be confirmed for now."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ZooKeeperAway):
            raise HoldingLost(str(error.finding)) from None
