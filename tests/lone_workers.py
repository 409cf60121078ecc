"""Worker processes without a server: the test writes the schedule nodes and holds the other end of the pipe."""

import json
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import pytest

from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings, load_settings
from cdcd.fleet.paths import FOLDERS
from cdcd.fleet.session import Session
from cdcd.worker.channel import Assignment, Farewell, Hello, Report, Stop
from deploy.rig.fleet import Fleet
from deploy.rig.process import Process, plain_environment, until
from deploy.rig.worker import Instance
from tests.fleets import MakeFleet, loaded_instance
from tests.servers import MysqlServer

_HOST = """
import pickle, sys
from multiprocessing.connection import Client
from pathlib import Path
from cdcd.worker.process import work
work(pickle.loads(Path(sys.argv[1]).read_bytes()), Client(sys.argv[2]))
"""


class LoneWorker(Process):
    """One worker process, and what it has told."""

    def __init__(self, settings: Settings, instance: str, log: Path, failpoint: str | None) -> None:
        self.heard: list[object] = []
        folder = log.parent
        assignment = Assignment(instance, settings, 4_000_000_000 + hash(instance) % 100_000_000, 0)
        (folder / f"{log.name}.assignment").write_bytes(pickle.dumps(assignment))
        listener = Listener(str(folder / f"{log.name}.pipe"), "AF_UNIX")
        environment = plain_environment()
        if failpoint is not None:
            environment |= {"CDCD_TESTING": "1", "CDCD_FAILPOINT": failpoint}
        command = [sys.executable, "-c", _HOST, f"{folder / log.name}.assignment", f"{folder / log.name}.pipe"]
        super().__init__(command, environment, 0, log)
        self.pipe: Connection = listener.accept()
        listener.close()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            while True:
                self.heard.append(self.pipe.recv())
        except (EOFError, OSError):
            return

    @property
    def reports(self) -> list[Report]:
        return [each for each in self.heard if isinstance(each, Report)]

    @property
    def role(self) -> str:
        return str(self.reports[-1].status["role"]) if self.reports else ""

    @property
    def state(self) -> str:
        return self.reports[-1].metrics.state if self.reports else ""

    @property
    def farewell(self) -> Farewell | None:
        last = self.heard[-1] if self.heard else None
        return last if isinstance(last, Farewell) else None

    @property
    def hello(self) -> Hello:
        assert isinstance(self.heard[0], Hello)
        return self.heard[0]

    def running(self) -> "LoneWorker":
        def runs() -> bool:
            assert self.poll() is None, f"it ended with {self.code}: {self.farewell}\n{self.said()}"
            return self.state == "running" and self.role == "owner"

        until(runs, "it publishes")
        return self

    def abandon(self) -> None:
        """What it sees when its server is gone."""
        with socket.socket(fileno=os.dup(self.pipe.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def ask_to_stop(self) -> None:
        self.pipe.send(Stop())

    def ended(self, ending: str) -> Farewell:
        assert self.wait() == 0, self.said()
        until(lambda: self.farewell, "its last message is read")
        assert self.farewell is not None
        assert self.farewell.ending == ending, f"{self.farewell}\n{self.said()}"
        return self.farewell


class Stage:
    """One instance in a tree that the test writes."""

    def __init__(self, fleet: Fleet, instance: Instance) -> None:
        self.fleet = fleet
        self.instance = instance
        self.workers: list[LoneWorker] = []
        self._generation = 0
        self._granted: set[str] = set()
        settings = load_settings(fleet.write_settings("a"))
        session = Session(settings.ensemble(), Credentials(None), "stage")
        session.start()
        for folder in FOLDERS:
            session.make(folder)
        session.close()

    @property
    def name(self) -> str:
        return self.instance.name

    def define(self, **overrides: Any) -> None:
        """Put the definition, with these sections changed; servers that have its credential may use it for the new host."""
        self.instance.overrides |= overrides
        for server in self._granted:
            self.instance.grant(self.fleet.folder / server)
        self.fleet.define(self.instance)

    def schedule(self, server: str | None, successor: str | None = None) -> None:
        """Write the schedule node; None: delete it."""
        self._generation += 1
        if server is None:
            self.fleet.tree.delete(f"/schedule/{self.name}")
            return
        node = {"v": 1, "server": server, "generation": self._generation, "reason": "the test", "at": 0.0}
        if successor is not None:
            node["next"] = successor
        self.fleet.tree.put(f"/schedule/{self.name}", json.dumps(node).encode())

    def worker(self, server: str, failpoint: str | None = None, *, grant: bool = True) -> LoneWorker:
        """Start a worker for `server`, which has the instance's credential if `grant`."""
        settings = load_settings(self.fleet.write_settings(server))
        if grant:
            self._granted.add(server)
            self.instance.grant(self.fleet.folder / server)
        log = self.fleet.folder / f"worker-{len(self.workers) + 1}"
        self.workers.append(LoneWorker(settings, self.name, log, failpoint))
        return self.workers[-1]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage(make_fleet: MakeFleet, mysql: MysqlServer) -> Iterator[MakeStage]:
    """`make_stage("name", fleet={...}, **instance options)`: defined; nothing is scheduled and nothing runs."""
    made: list[Stage] = []

    def make(name: str, *, fleet: dict[str, Any] | None = None, **options: Any) -> Stage:
        tree = make_fleet(**({"fleet": fleet} if fleet else {}))
        stage = Stage(tree, loaded_instance(tree, name, mysql, **options))
        made.append(stage)
        stage.define()
        return stage

    yield make
    for stage in made:
        stage.close()
