"""A fleet that is played: a test writes the nodes that servers, workers and the scheduler would write."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
import structlog
from click.testing import CliRunner, Result

from cdcd.cli.cdcctl import main
from cdcd.cli.ctl import output
from cdcd.cli.ctl.reach import hush
from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet import paths
from cdcd.fleet.nodes import (
    Assigned,
    Epoch,
    InstanceLoad,
    Load,
    Mirror,
    Request,
    Running,
    Schedule,
    Server,
    Status,
    decode,
    encode,
)
from cdcd.fleet.registry import ensure_tree
from cdcd.fleet.session import Session
from tests.background import Call
from tests.waiting import until

DEFINITION: Mapping[str, Any] = {
    "source": {"host": "mysql-a", "credential": "orders-db"},
    "tables": {"include": ["shop.*"]},
    "sink": {"topic": "cdc.{database}.{table}"},
}
RECORD = {
    "v": 1, "epoch": 7, "nonce": "n", "server_uuid": "3e11fa47-71ca-11e1-9e33-c80aa9429562",
    "gtid_set": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100", "file": "binlog.000009", "start_offset": 400,
    "end_offset": 500, "txn": None, "rows_done": 0, "seq": 12, "held": [], "partitions": {}, "ts_ms": 1_795_000_000_000,
}  # fmt: skip


@dataclass(slots=True)
class Play:
    """One stage: a chroot with a tree, and whatever the test puts there."""

    ensemble: ZooKeeper
    session: Session
    loads: dict[str, Load] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """What `cdcctl` has said while it waited."""

    # ---------------------------------------------------------------- the command

    def cdcctl(self, *arguments: str, stdin: str = "") -> Result:
        """Run it against this tree."""
        environment = {
            "CDCD_ZOOKEEPER__HOSTS": ",".join(self.ensemble.hosts),
            "CDCD_ZOOKEEPER__CHROOT": self.ensemble.chroot,
            "CDCD_ZOOKEEPER__SESSION_TIMEOUT": "10s",
        }
        return CliRunner(env=environment).invoke(main, arguments, input=stdin, catch_exceptions=False)

    @contextmanager
    def meanwhile(self, act: Callable[[], None]) -> Iterator[None]:
        """`act` in another thread; it has to end without an error."""
        call = Call(act)
        yield
        call.result()

    def hears(self, words: str) -> None:
        """Wait until `cdcctl` has seen, and told, what stands here now."""
        until(lambda: any(words in each for each in self.told))

    # ---------------------------------------------------------------- servers

    def server(self, name: str, **more: Any) -> None:
        """It lives, runs nothing, and has a capacity of 2."""
        self.session.create(
            paths.server(name), encode(Server("host-" + name, 4711, time.time(), "0.1.0")), ephemeral=True
        )
        self.reports(name, Load(time.time(), 2.0, **more))

    def gone(self, name: str) -> None:
        """Its session is over; its load-balance node stays."""
        self.session.delete(paths.server(name))

    def reports(self, name: str, load: Load) -> None:
        self.loads[name] = load
        self._put(paths.load(name), encode(load))

    # ---------------------------------------------------------------- instances

    def define(self, name: str, **more: Any) -> None:
        self._put(f"{paths.INSTANCES}/{name}", orjson.dumps({"name": name, **DEFINITION, **more}))

    def schedule(self, name: str, server: str | None, reason: str = "least load", **more: Any) -> None:
        self._put(paths.schedule(name), encode(Schedule(server, 1, reason, time.time(), **more)))

    def runs(self, name: str, server: str, state: str = "running", epoch: int = 7, **status: Any) -> None:
        """It is scheduled there, holds its lock, and its worker and server say so."""
        now = time.time()
        self.schedule(name, server)
        self.session.create(paths.running(name), encode(Running(server, "host-" + server, 4712, now)), ephemeral=True)
        self._put(paths.epoch(name), encode(Epoch(epoch)))
        self._put(paths.position(name), encode(Mirror(epoch, now, RECORD)))
        self._put(paths.status(name), encode(Status(state, now, now, server, epoch, **status)))
        self._lists(server, name, InstanceLoad(state, 5000.0, 50.0, 60.0, 0.2, epoch))

    def stops(self, name: str) -> None:
        """Everything that rule 10 asks for."""
        self.session.delete(paths.schedule(name))
        self.lets_go(name)

    def lets_go(self, name: str) -> None:
        """Its worker has ended; it is to run on."""
        self.session.delete(paths.running(name))
        for server in self.loads:
            self._lists(server, name, None)

    def _lists(self, server: str, name: str, load: InstanceLoad | None) -> None:
        instances = {key: each for key, each in self.loads[server].instances.items() if key != name}
        self.reports(server, replace(self.loads[server], instances=instances | ({name: load} if load else {})))
        self._put(paths.assigned(server), encode(Assigned(tuple(self.loads[server].instances))))

    # ---------------------------------------------------------------- what operators wrote

    def definition(self, name: str) -> dict[str, Any]:
        found = self.session.get(paths.definition(name))
        assert found is not None
        content: dict[str, Any] = orjson.loads(found.data)
        return content

    def paused(self, name: str) -> bool:
        return bool(self.definition(name).get("paused"))

    def request(self, name: str) -> Request | None:
        found = self.session.get(paths.request(name))
        return decode(Request, found.data) if found else None

    def served(self, name: str) -> None:
        self.session.delete(paths.request(name))

    def _put(self, path: str, data: bytes) -> None:
        if not self.session.create(path, data):
            self.session.set(path, data)


@pytest.fixture
def play(ensemble: ZooKeeper, lasting: ZooKeeper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """An empty stage, in a process without log lines, as `cdcctl` is. Nobody's session ends by itself."""
    before = structlog.get_config()
    hush()
    session = Session(lasting, Credentials(None), "play")
    session.start()
    ensure_tree(session, "shop")
    made = Play(ensemble, session)

    def tell(message: str) -> None:
        output.tell(message)
        made.told.append(message)

    monkeypatch.setattr("cdcd.cli.ctl.waiting.tell", tell)
    yield made
    session.close()
    structlog.configure(**before)
    logging.disable(logging.NOTSET)
