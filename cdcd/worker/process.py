"""A worker process: one instance, its own ZooKeeper session, and a pipe to the server that started it.

main thread      the hot one: connect, take over, pump
tether           server, signals, reports (tether.py)
keeper, kazoo    the lock, its lease, what people look at (fleet/ownership.py)
lag, log, librdkafka's own
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import NoReturn

import structlog

from cdcd.config.secrets import Credentials
from cdcd.errors import FindingError, NotOwner, Stopped
from cdcd.fleet.nodes import Status
from cdcd.fleet.ownership import ZooKeeperOwnership
from cdcd.observe.failpoints import from_environment
from cdcd.observe.logging import Logs
from cdcd.observe.private_memory import keep_memory_private
from cdcd.observe.uncaught import show_native_crashes
from cdcd.worker.channel import Assignment, Farewell, Hello, Report
from cdcd.worker.definitions import Definitions
from cdcd.worker.instance import Backoff, Instance, Patience
from cdcd.worker.journal import Journal
from cdcd.worker.ownership import InFleet
from cdcd.worker.source import Identity
from cdcd.worker.stopping import StopSignal
from cdcd.worker.tether import Tether
from cdcd.worker.wiring import Wiring

PRELOAD = ("cdcd.worker.process", "encodings.idna", "encodings.utf_8_sig")
"""Modules for `multiprocessing`'s forkserver to load before it forks, so that workers share their memory."""

LAST_WORDS_SECONDS = 0.5
"""For log lines of a process that ends at once."""
MOST_TABLES = 200


def work(assignment: Assignment, pipe: Connection) -> None:
    """Target of a worker process (forkserver). Ends the process itself, never returns."""
    show_native_crashes()
    keep_memory_private()
    context = {"server": assignment.settings.server_id, "sync_instance": assignment.instance}
    logs = Logs(sys.stdout, level=assignment.settings.log_level, context=context)

    def exit_now(reason: str) -> NoReturn:
        structlog.get_logger().error("worker.aborted", reason=reason)
        logs.close(LAST_WORDS_SECONDS)
        os._exit(1)

    try:
        _Worker(assignment, pipe, exit_now, logs).run()
    except Exception:  # noqa: BLE001 - whatever it is, the process ends; without a farewell it counts as crashed
        structlog.get_logger().exception("worker.failed", reason="a defect of cdcd: please report it with this log")
        exit_now("it failed")
    logs.close()
    # Not by returning: a Kafka client that hangs in its close must not keep the process.
    os._exit(0)


class _Worker:
    """The process around one Instance."""

    def __init__(
        self,
        assignment: Assignment,
        pipe: Connection,
        exit_now: Callable[[str], NoReturn],
        logs: Logs,
    ) -> None:
        settings = assignment.settings
        self._assignment = assignment
        self._settings = settings
        self._logs = logs
        self._credentials = Credentials.of(settings.credentials_dir, hide=logs.hide)
        self._failpoint = from_environment(os.environ)
        self._stop = StopSignal()
        self._tether = Tether(pipe, self._stop, exit_now, logs.set_level)
        self._journal = Journal(assignment.instance, changed=self._tether.wake)
        self._ownership: InFleet = ZooKeeperOwnership(
            settings.ensemble(),
            self._credentials,
            assignment.instance,
            settings.server_id,
            proceed=self._stop.proceed,
            news=self._stop.nudge,
            failpoint=self._failpoint,
            stuck=exit_now,
        )
        self._definitions: Definitions | None = None
        self._wiring: Wiring | None = None
        self._instance: Instance | None = None

    def run(self) -> None:
        self._tether.start()
        farewell = self._work()
        if self._instance is not None:
            self._ownership.tell(self._status(self._instance))
        self._ownership.close()
        self._tether.farewell(farewell)

    def _work(self) -> Farewell:
        try:
            self._connect()
            instance = self._assemble()
            self._tether.introduce(Hello(*self._ownership.session), lambda: self._report(instance))
            ending = instance.run()
        except Stopped as error:
            return Farewell("stopped", str(error))
        except NotOwner as error:
            return Farewell("not_owner", str(error))
        except FindingError as error:
            ending = "parked" if error.finding.kind == "operator" else "gave_up"
            return Farewell(ending, str(error.finding), error.finding)
        assert ending != "end"
        return Farewell(ending, self._journal.last_reason, instance.finding)

    def _connect(self) -> None:
        """As long as it takes: without ZooKeeper nobody else could run the instance either."""
        backoff = Backoff()
        while True:
            self._stop.proceed()
            try:
                self._ownership.connect()
            except FindingError as error:
                if error.finding.kind == "operator":
                    raise
                self._journal.note("worker.waiting", str(error.finding), "warning", finding=error.finding.code)
                self._stop.wait(backoff.next(time.monotonic()))
            else:
                return

    def _assemble(self) -> Instance:
        name = self._assignment.instance
        self._definitions = Definitions.first(name, self._journal, self._ownership.definition)
        self._wiring = Wiring(
            definitions=self._definitions,
            settings=self._settings,
            credentials=self._credentials,
            identity=Identity.of(self._settings.cluster, name, self._assignment.server_id),
            ownership=self._ownership,
            journal=self._journal,
            stop=self._stop,
            failpoint=self._failpoint,
        )
        attempts = self._settings.fleet.start_attempts
        self._instance = self._wiring.instance(Patience(park=False, attempts=attempts))
        return self._instance

    # ---------------------------------------------------------------- what people see; asked in the tether's thread

    def _report(self, instance: Instance) -> Report:
        assert self._wiring is not None
        status = self._status(instance)
        self._ownership.tell(status)
        said = {**instance.status(), "role": self._ownership.role, "problems": list(status.problems)}
        return Report(self._wiring.figures.read(), said, self._logs.dropped)

    def _status(self, instance: Instance) -> Status:
        assert self._wiring is not None
        assert self._definitions is not None
        metrics, role, finding = self._wiring.figures.read(), self._ownership.role, instance.finding
        waits = metrics.state == "starting" and role != "owner"
        return Status(
            state=role if waits else metrics.state,
            at=time.time(),
            since=instance.since,
            server=self._settings.server_id,
            epoch=metrics.epoch,
            finding=None if finding is None else asdict(finding),
            problems=tuple(asdict(problem) for problem in self._definitions.problems),
            lag_seconds=metrics.lag_seconds,
            activity=instance.activity(),
            tables=tuple(self._wiring.tables()[:MOST_TABLES]),
            events=tuple(self._journal.events()),
        )
