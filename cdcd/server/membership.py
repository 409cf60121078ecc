"""This server's part in the fleet, in a thread of its own: registered, told what to run, and telling what it runs."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import structlog

from cdcd.config.fields import is_name
from cdcd.config.settings import Settings
from cdcd.errors import Finding, FindingError, Stopped
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.nodes import Assigned, Load, Schedule, Standby, decode
from cdcd.fleet.registry import OPEN_TREE, Registration, acl_open, ensure_tree
from cdcd.fleet.session import Session
from cdcd.observe.metrics import ServerMetrics
from cdcd.server.load import left_or_came, out_of_date
from cdcd.server.reconcile import Wishes
from cdcd.server.supervisor import Supervisor
from cdcd.worker.stopping import StopSignal

SHORTEST_PAUSE = 0.1
"""Seconds between two looks, whatever happens: news that come together are read together."""
FIRST_ANSWER = 3.0
"""Seconds until it is said that ZooKeeper does not answer; connecting goes on."""
REMINDER = 30.0
"""Seconds after which trouble that lasts is logged again."""


class Membership:
    """Reads the schedule nodes for the supervisor and reports for it. `run` in a thread of its own, then `leave`."""

    def __init__(
        self, settings: Settings, session: Session, cache: Cache, stop: StopSignal, belongs: Callable[[], None]
    ) -> None:
        """`belongs` is called once, when the server is part of the fleet."""
        self.entered = False
        """Registered in the fleet; this session or an earlier one."""
        self.fatal: Exception | None = None
        """Why this server cannot be part of the fleet, and stops."""
        self.trouble: Finding | None = None
        """What keeps it from reading or writing now."""
        self._settings = settings
        self._session = session
        self._cache = cache
        self._stop = stop
        self._belongs = belongs
        self._open = False
        self._tree_seen_in = 0
        """Session id: a later one may be with an ensemble that was built anew."""
        self._successors: bool | None = None
        """Looked for only when they are needed: it takes every server's load-balance node."""
        self._wishes: Wishes | None = None
        self._written: Load | None = None
        self._written_at = self._reminded_at = 0.0
        self._over = threading.Event()
        self._log = structlog.get_logger()

    # ---------------------------------------------------------------- asked by other threads

    def changed(self) -> None:
        """Something to report, or another phase."""
        self._cache.changed.set()

    def use(self, settings: Settings) -> None:
        """Report and look by these from now on."""
        self._settings = settings
        self.changed()

    def successors(self) -> bool:
        """Whether other servers live that can take over what runs here; until that is known, yes."""
        return self._successors is not False and self.fatal is None and self._session.state == "connected"

    @property
    def ready(self) -> bool:
        """Registered, and connected now."""
        return self.entered and self._session.state == "connected"

    def status(self) -> dict[str, Any]:
        """For `/status`."""
        trouble = self.trouble
        return {
            "state": self._session.state,
            "session": f"{self._session.id:#x}" if self._session.id else None,
            "session_timeout": self._session.timeout,
            "session_losses": self._session.losses,
            "registered": self.entered,
            "trouble": asdict(trouble) if trouble else None,
            "advice": [asdict(each) for each in (self._session.advice, OPEN_TREE if self._open else None) if each],
        }

    def count(self, metrics: ServerMetrics) -> None:
        """Fill in what it knows."""
        metrics.zookeeper_connected = int(self._session.state == "connected")
        metrics.zookeeper_session_losses = self._session.losses
        metrics.zookeeper_open = int(self._open)

    # ---------------------------------------------------------------- the loop

    def run(self, supervisor: Supervisor, registration: Registration) -> None:
        """Until `leave`, or `fatal`. The supervisor may be told to stop long before."""
        try:
            self._attempt(lambda: self._session.start(FIRST_ANSWER))
            while not self._over.is_set() and self.fatal is None:
                self._attempt(lambda: self._turn(supervisor, registration))
                self._over.wait(SHORTEST_PAUSE)
                self._cache.wait(self._pause)
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001 - a thread's end would go unnoticed; the main thread raises it
            self._log.exception("server.failed", reason="a defect of cdcd: please report it with this log")
            self.fatal = error
            self._stop.ask()

    def leave(self, supervisor: Supervisor, registration: Registration) -> None:
        """The last report, and the end of the registration. Never raises."""
        self._over.set()
        self.changed()
        if not self.entered or self._session.state != "connected":
            return
        try:
            registration.report(self._load(supervisor))
            registration.leave()
        except FindingError as error:
            self._log.warning("server.left_silently", reason=f"its session ends by itself: {error}")

    @property
    def _pause(self) -> float:
        fleet = self._settings.fleet
        due = self._written_at + fleet.report_interval - time.monotonic()
        return fleet.reconcile_interval if self.trouble else max(0.0, min(fleet.reconcile_interval, due))

    def _attempt(self, step: Callable[[], None]) -> None:
        """What time may mend is shown and tried again; what it cannot ends a server that is not part of the fleet yet."""
        try:
            step()
        except FindingError as error:
            if error.finding.kind == "operator" and (not self.entered or error.finding.code == "server-id-taken"):
                self._give_up(error)
                return
            self._troubled(error.finding)
        else:
            self._well()

    def _turn(self, supervisor: Supervisor, registration: Registration) -> None:
        if not self.entered:
            self._enter(registration)
        self._see_to_tree()
        registration.hold()
        wishes = self._read(supervisor.names)
        if wishes != self._wishes:
            self._wishes = wishes
            supervisor.want(wishes)
        before = self._successors
        self._successors = self._others_can_run() if supervisor.phase != "running" else None
        if self._successors != before:
            supervisor.wake()
        self._report(self._load(supervisor), registration)

    def _enter(self, registration: Registration) -> None:
        self._see_to_tree()
        self._open = acl_open(self._session)
        if self._open:
            self._log.warning("zookeeper.open", reason=str(OPEN_TREE), finding=OPEN_TREE.code)
        registration.enter(self._stop.proceed)
        self.entered = True
        self._log.info("server.registered", reason=f"part of fleet {self._settings.cluster}")
        self._belongs()

    def _see_to_tree(self) -> None:
        session = self._session.id
        if session != self._tree_seen_in:
            ensure_tree(self._session, self._settings.cluster)
            self._tree_seen_in = session

    # ---------------------------------------------------------------- reading

    def _read(self, known: frozenset[str]) -> Wishes:
        me = self._settings.server_id
        assigned = self._decoded(Assigned, paths.assigned(me)) or Assigned()
        names = known | {name for name in assigned.instances if is_name(name)}
        schedule = self._scheduled(names)
        leaving = {name for name, node in schedule.items() if node.server == me and node.next not in (None, me)}
        return Wishes(schedule, self._all(Standby, leaving, paths.standby))

    def _scheduled(self, names: frozenset[str]) -> dict[str, Schedule]:
        """Garbage changes nothing: the scheduler will write the node anew."""
        found = self._cache.nodes(paths.schedule(name) for name in names)
        before = self._wishes.schedule if self._wishes else {}
        nodes = {
            name: decode(Schedule, stored.data) or before.get(name)
            for name in sorted(names)
            if (stored := found[paths.schedule(name)]) is not None
        }
        return {name: node for name, node in nodes.items() if node is not None}

    def _others_can_run(self) -> bool:
        """Whether there is a live server that is neither drained nor stopping itself."""
        others = self._cache.children(paths.SERVERS) - {self._settings.server_id} - self._cache.children(paths.DRAINED)
        return any(not load.stopping for load in self._all(Load, others, paths.load).values())

    def _all(self, kind: type[Any], names: "set[str] | frozenset[str]", path: Callable[[str], str]) -> dict[str, Any]:
        """Those of the nodes that are there and can be read."""
        found = self._cache.nodes(path(name) for name in names)
        decoded = {name: _decode(kind, found[path(name)]) for name in sorted(names)}
        return {name: node for name, node in decoded.items() if node is not None}

    def _decoded(self, kind: type[Assigned], path: str) -> Assigned | None:
        stored = self._cache.node(path)
        return decode(kind, stored.data) if stored else None

    # ---------------------------------------------------------------- reporting

    def _load(self, supervisor: Supervisor) -> Load:
        fleet = self._settings.fleet
        instances, failures = supervisor.load()
        return Load(
            at=round(time.time(), 3),
            capacity=fleet.capacity,
            labels=dict(fleet.labels),
            max_instances=fleet.max_instances,
            stopping=supervisor.phase != "running",
            instances=instances,
            failures=failures,
        )

    def _report(self, load: Load, registration: Registration) -> None:
        due = time.monotonic() - self._written_at >= self._settings.fleet.report_interval
        if left_or_came(self._written, load) or (due and out_of_date(self._written, load)):
            registration.report(load)
            self._written = load
            self._written_at = time.monotonic()
        elif due:
            self._written_at = time.monotonic()

    # ---------------------------------------------------------------- trouble

    def _give_up(self, error: FindingError) -> None:
        self.fatal, self.trouble = error, error.finding
        self._log.error("server.refused", reason=str(error.finding), finding=error.finding.code)
        self._stop.ask()

    def _troubled(self, finding: Finding) -> None:
        now = time.monotonic()
        if self.trouble is None or self.trouble.code != finding.code or now - self._reminded_at > REMINDER:
            self._log.warning("server.troubled", reason=str(finding), finding=finding.code)
            self._reminded_at = now
        self.trouble = finding

    def _well(self) -> None:
        if self.trouble is not None:
            self._log.info("server.well", reason=f"{self.trouble.code} is over")
            self.trouble = None


def _decode(kind: type[Any], stored: Any) -> Any:
    return decode(kind, stored.data) if stored else None
