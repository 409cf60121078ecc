"""A server's part in the scheduling: it stands for election, and while it is elected it governs (reign.py)."""

import threading
from typing import Any

import structlog

from cdcd.config.fleet import Scheduling
from cdcd.config.settings import Settings
from cdcd.errors import FindingError
from cdcd.fleet.cache import Cache
from cdcd.fleet.election import Election, TermOver
from cdcd.fleet.plan import Policy
from cdcd.fleet.reign import SHORTEST_PAUSE, Reign
from cdcd.fleet.session import Session
from cdcd.fleet.trouble import ZooKeeperAway
from cdcd.observe.failpoints import Failpoint, off
from cdcd.observe.metrics import ServerMetrics

PAUSE_AFTER_FAILURE = 10.0
"""Seconds after something that does not end by itself soon: another server may do better."""


def policy_of(scheduling: Scheduling) -> Policy:
    """The settings as the plan takes them."""
    return Policy(**scheduling.model_dump())


class Scheduler:
    """`run` in a thread of its own, on the server's session; everything else may be called by any thread."""

    def __init__(self, session: Session, settings: Settings, failpoint: Failpoint = off) -> None:
        self._cluster = settings.cluster
        self._policy = policy_of(settings.scheduling)
        self._interval = settings.fleet.reconcile_interval
        self._failpoint = failpoint
        self._cache = Cache(session)
        self._election = Election(session, self._cache, settings.server_id)
        self._reign: Reign | None = None
        self._trouble = ""
        self._log = structlog.get_logger().bind(server=settings.server_id)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set, which `wake` makes it see at once; another server is then elected without delay."""
        while not stop.is_set():
            rest, pause = self._tick()
            if not stop.wait(rest):
                self._cache.wait(max(0.0, pause - rest))
        self._resign()

    def use(self, settings: Settings) -> None:
        """Decide by these from the next look on."""
        self._policy, self._interval = policy_of(settings.scheduling), settings.fleet.reconcile_interval
        self.wake()

    def wake(self) -> None:
        """Look at once."""
        self._cache.changed.set()

    @property
    def leads(self) -> bool:
        """Whether this server is the scheduler. Who cannot reach ZooKeeper does not call itself that."""
        return self._reign is not None and not self._trouble

    def count(self, metrics: ServerMetrics) -> None:
        """Add what the scheduler alone can say."""
        reign = self._reign
        if reign is None or self._trouble:
            return
        metrics.scheduler_leader = 1
        metrics.unassigned_instances = reign.figures.unassigned
        metrics.fleet_load = dict(reign.figures.loads)
        metrics.invalid_definitions = reign.figures.invalid
        metrics.misnamed_definitions = reign.figures.misnamed

    def look(self) -> dict[str, Any]:
        """For `/status`."""
        reign = self._reign
        if self._trouble:
            return {"leader": False, "trouble": self._trouble}
        return {"leader": False} if reign is None else {"leader": True, **reign.look()}

    def _tick(self) -> tuple[float, float]:
        """Seconds until the next one at the earliest, and if nothing wakes it."""
        try:
            rest, pause = self._govern()
        except TermOver as over:
            self._say(str(over))
            self._reign = None
            self._election.lost()
            return SHORTEST_PAUSE, SHORTEST_PAUSE
        except ZooKeeperAway as away:
            # The term may still be ours when the connection is back: the next campaign says it.
            self._say(away.finding.what)
            return SHORTEST_PAUSE, self._interval
        except FindingError as error:
            self._say(str(error.finding))
            self._resign()
            return PAUSE_AFTER_FAILURE, PAUSE_AFTER_FAILURE
        except Exception:  # noqa: BLE001 - a thread that dies here would hold the election and schedule nothing
            self._log.exception("scheduler.failed", reason="a defect of cdcd: please report it with this log")
            self._trouble = "a defect of cdcd: see the log, scheduler.failed"
            self._resign()
            return PAUSE_AFTER_FAILURE, PAUSE_AFTER_FAILURE
        self._trouble = ""
        return rest, pause

    def _govern(self) -> tuple[float, float]:
        term = self._election.campaign()
        if term is None:
            self._reign = None
            return SHORTEST_PAUSE, self._interval
        if self._reign is None or self._reign.term is not term:
            self._reign = Reign(term, self._cache, self._cluster, lambda: self._policy, self._failpoint, self._log)
        self._reign.govern()
        # Not all of a core, even where a look takes long.
        return max(SHORTEST_PAUSE, self._reign.took), self._reign.pause(self._interval)

    def _say(self, trouble: str) -> None:
        """Once for each different one, and only of a scheduler: of the session's trouble others tell."""
        if trouble != self._trouble and self._reign is not None:
            self._log.warning("scheduler.interrupted", reason=trouble)
        self._trouble = trouble

    def _resign(self) -> None:
        self._reign = None
        try:
            self._election.resign()
        except FindingError as error:
            self._log.warning("scheduler.not_resigned", reason=f"the end of the session does it: {error.finding.what}")
