"""`cdcd run`: the composition root of a server, and its life from start to stop.

control (signals) ──stop──▶ supervisor ◀──wishes── membership ◀──watches── ZooKeeper
                               │ pipes                 │ registration, load-balance node
                            workers                 scheduler, where this server is elected
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings
from cdcd.errors import FindingError
from cdcd.fleet.cache import Cache
from cdcd.fleet.nodes import Server as ServerNode
from cdcd.fleet.registry import Registration, pid_space
from cdcd.fleet.scheduler import Scheduler
from cdcd.fleet.session import Session
from cdcd.observe.failpoints import from_environment
from cdcd.observe.logging import Logs
from cdcd.observe.metrics import ServerMetrics
from cdcd.observe.notify import Notifier
from cdcd.observe.registry import Registry
from cdcd.server.control import Control
from cdcd.server.http import Pages, StatusServer
from cdcd.server.membership import Membership
from cdcd.server.processes import Forkserver
from cdcd.server.rereading import FIXED_IN_A_FLEET, Rereading
from cdcd.server.supervisor import Supervisor
from cdcd.server.undertaker import Undertaker
from cdcd.worker.journal import iso
from cdcd.worker.process import PRELOAD, work
from cdcd.worker.stopping import StopSignal

FAREWELL = 5.0
"""Seconds that the last words to ZooKeeper may take."""


def run_server(
    settings: Settings, logs: Logs, versions: Mapping[str, str], read_settings: Callable[[], Settings]
) -> None:
    """Run until stopped. FindingError for what keeps the server out of the fleet, and for its HTTP address.

    `control.hold_signals` comes before it. `read_settings`: as they are when it is called.
    """
    stop = StopSignal()
    server = Server(settings, logs, versions, stop)
    control = Control(
        stop, Notifier.from_environment(), Rereading(settings, read_settings, server.use, FIXED_IN_A_FLEET)
    )
    http = StatusServer(server.pages(control), settings.http.host, settings.http.port)
    structlog.get_logger().info("process.started", reason=f"/status and /metrics at {http.host}:{http.port}")
    control.start(server.progresses, server.sentence)
    try:
        server.run(f"{http.host}:{http.port}")
    except FindingError:  # told as server.refused
        raise
    except Exception:
        structlog.get_logger().exception("process.failed", reason="the server cannot go on; its workers end with it")
        raise
    finally:
        http.close()


class Server:
    """The parts of a server."""

    def __init__(self, settings: Settings, logs: Logs, versions: Mapping[str, str], stop: StopSignal) -> None:
        ensemble = settings.ensemble()
        credentials = Credentials.of(settings.credentials_dir, hide=logs.hide)
        failpoint = from_environment(os.environ)
        self._settings = settings
        self._logs = logs
        self._version = versions.get("cdcd", "")
        self._since = time.time()
        self._end = threading.Event()
        self._session = Session(ensemble, credentials, "server", lambda _: self._membership.changed())
        self._scheduler = Scheduler(self._session, settings, failpoint)
        self._scheduling = threading.Thread(
            target=self._scheduler.run, args=(self._end,), name="scheduler", daemon=True
        )
        self._membership = Membership(settings, self._session, Cache(self._session), stop, self._scheduling.start)
        self._undertaker = Undertaker(settings.server_id, ensemble, credentials, self._session)
        self._registry = Registry(versions, self._metrics)
        self._forkserver = Forkserver(work, PRELOAD)
        self._supervisor = Supervisor(
            settings=settings,
            forkserver=self._forkserver,
            undertaker=self._undertaker,
            registry=self._registry,
            stop=stop,
            failpoint=failpoint,
            successors=self._membership.successors,
            changed=self._membership.changed,
        )

    def run(self, address: str) -> None:
        """Until a stop was asked for and all workers are gone. `address`: of /status, for the fleet to see."""
        registration = Registration(
            self._session,
            self._settings.server_id,
            ServerNode(socket.gethostname(), os.getpid(), self._since, self._version, address, pid_space=pid_space()),
        )
        belonging = threading.Thread(target=self._belong, args=(registration,), name="membership", daemon=True)
        belonging.start()
        try:
            self._supervisor.run()
        finally:
            self._leave(registration, belonging)
        if self._membership.fatal is not None:
            raise self._membership.fatal

    def _belong(self, registration: Registration) -> None:
        """Nobody is to hand an instance over to a server that still loads its modules."""
        self._forkserver.warm()
        self._membership.run(self._supervisor, registration)

    def _leave(self, registration: Registration, belonging: threading.Thread) -> None:
        """Another scheduler is elected before this server is seen to be gone, so that it finds nothing orphaned."""
        self._end.set()
        self._scheduler.wake()
        if self._scheduling.ident is not None:
            self._scheduling.join(FAREWELL)
        self._membership.leave(self._supervisor, registration)
        belonging.join(FAREWELL)
        self._undertaker.close()
        self._session.close()

    def use(self, settings: Settings) -> None:
        """These from now on, as far as running parts can change."""
        self._settings = settings
        self._logs.set_level(settings.log_level)
        self._scheduler.use(settings)
        self._membership.use(settings)
        self._supervisor.use(settings)

    def progresses(self) -> bool:
        """Whether its loop turns; says nothing of ZooKeeper, MySQL or Kafka."""
        return self._supervisor.alive()

    # ---------------------------------------------------------------- what is shown

    def sentence(self) -> str:
        """How it is, in one line."""
        roles = self._supervisor.roles()
        instances = ", ".join(f"{count} {role}" for role, count in sorted(roles.items())) or "none"
        if self._supervisor.phase != "running":
            return f"stopping; instances: {instances}"
        if trouble := self._membership.trouble:
            return f"{trouble.code}: {trouble.what}"
        if not self._membership.entered:
            return "waiting for ZooKeeper"
        part = "in it, and its scheduler" if self._scheduler.leads else "in it"
        return f"fleet {self._settings.cluster}: {part}; instances: {instances}"

    def pages(self, control: Control) -> Pages:
        """For the HTTP side."""
        return Pages(
            self._registry.render,
            control.alive,
            lambda: self._membership.ready and self._supervisor.phase == "running",
            self._status,
        )

    def _status(self) -> dict[str, Any]:
        return {
            "server": {
                "id": self._settings.server_id,
                "cluster": self._settings.cluster,
                "phase": self._supervisor.phase,
                "since": iso(self._since),
                "pid": os.getpid(),
                "version": self._version,
            },
            "zookeeper": self._membership.status(),
            "scheduler": self._scheduler.look(),
            "instances": self._supervisor.status(),
        }

    def _metrics(self) -> ServerMetrics:
        metrics = ServerMetrics(log_lines_dropped=self._logs.dropped)
        self._membership.count(metrics)
        self._supervisor.count(metrics)
        self._scheduler.count(metrics)
        return metrics
