"""A fleet without workers, to test the scheduler against a real ZooKeeper.

Servers are what they are to a scheduler: a registration and a load in the tree. Operators come with plain kazoo.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings
from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet import paths
from cdcd.fleet.nodes import (
    Assigned,
    InstanceLoad,
    Load,
    Running,
    Schedule,
    Server,
    ServerIdOwner,
    Status,
    decode,
    encode,
)
from cdcd.fleet.registry import ensure_tree
from cdcd.fleet.scheduler import Scheduler
from cdcd.fleet.session import Session
from cdcd.observe.failpoints import Failpoint, off
from cdcd.observe.metrics import ServerMetrics
from tests.waiting import until

CLUSTER = "main"


def definition(name: str, **changes: Any) -> bytes:
    """A small valid one; `changes` are fields beside or instead."""
    fields = {
        "version": 1,
        "name": name,
        "source": {"host": "db-1", "credential": "orders-db"},
        "tables": {"include": ["shop.*"]},
        "sink": {"topic": "cdc.{table}"},
    }
    return json.dumps(fields | changes).encode()


class RunningScheduler:
    """A scheduler in a thread, with a session of its own."""

    def __init__(self, ensemble: ZooKeeper, server_id: str, failpoint: Failpoint, **scheduling: Any) -> None:
        settings = Settings(
            cluster=CLUSTER,
            server_id=server_id,
            zookeeper=ensemble,
            fleet={"reconcile_interval": "500ms"},
            scheduling={"settle": "0s", "handover_timeout": "1s"} | scheduling,
        )
        self.session = Session(ensemble, Credentials(None), server_id)
        self.session.start()
        ensure_tree(self.session, CLUSTER)
        self.scheduler = Scheduler(self.session, settings, failpoint)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.scheduler.run, args=(self._stop,), daemon=True)
        self._thread.start()

    @property
    def leads(self) -> bool:
        return self.scheduler.leads

    @property
    def figures(self) -> ServerMetrics:
        figures = ServerMetrics()
        self.scheduler.count(figures)
        return figures

    def join(self) -> None:
        self._thread.join()

    def stop(self) -> None:
        self._stop.set()
        self.scheduler.wake()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.session.close()


class FakeServer:
    """A server's two nodes, and the locks of workers that it would have."""

    def __init__(self, operator: KazooClient, client: KazooClient, name: str, load: Load) -> None:
        self.name = name
        self._client = client
        self._operator = operator
        self.report(load)
        client.create(paths.server(name), encode(Server(f"host-{name}", 1, time.time(), "0.1.0")), ephemeral=True)

    def report(self, load: Load) -> None:
        self.load = load
        put(self._operator, paths.load(self.name), encode(load))

    def measure(self, **rates: float) -> None:
        """Report these bytes a second for instances that it runs, as measured for long."""
        loads = {name: InstanceLoad("running", rate, rate / 100, 600.0) for name, rate in rates.items()}
        self.report(Load(time.time(), self.load.capacity, self.load.labels, self.load.max_instances, instances=loads))

    def run(self, instance: str) -> None:
        """Have its worker hold the lock."""
        lock = encode(Running(self.name, f"host-{self.name}", 2, time.time()))
        self._client.create(paths.running(instance), lock, ephemeral=True, makepath=True)

    def die(self) -> None:
        self._client.stop()
        self._client.close()


class ScheduledFleet:
    """Everything is closed at the end of `fleet`."""

    def __init__(self, ensemble: ZooKeeper) -> None:
        self._ensemble = ensemble
        self._clients: list[KazooClient] = []
        self._schedulers: list[RunningScheduler] = []
        self.operator = self.client()
        """A plain client, as anybody might use it."""
        for folder in paths.FOLDERS:
            self.operator.ensure_path(folder)

    def client(self) -> KazooClient:
        client = KazooClient(self._ensemble.hosts[0], timeout=self._ensemble.session_timeout)
        client.start()
        client.ensure_path(self._ensemble.chroot)
        client.chroot = self._ensemble.chroot
        self._clients.append(client)
        return client

    def scheduler(self, server_id: str = "s1", failpoint: Failpoint = off, **scheduling: Any) -> RunningScheduler:
        made = RunningScheduler(self._ensemble, server_id, failpoint, **scheduling)
        self._schedulers.append(made)
        return made

    def server(self, name: str, capacity: float = 1.0, **load: Any) -> FakeServer:
        return FakeServer(self.operator, self.client(), name, Load(time.time(), capacity, **load))

    def define(self, name: str, content: bytes | None = None, **changes: Any) -> None:
        """Create or change a definition; None: a valid one with these changes."""
        put(self.operator, f"{paths.INSTANCES}/{name}", definition(name, **changes) if content is None else content)

    def delete(self, name: str) -> None:
        self.operator.delete(f"{paths.INSTANCES}/{name}")

    def read(self, path: str) -> bytes | None:
        try:
            data: bytes = self.operator.get(path)[0]
        except NoNodeError:
            return None
        return data

    def schedule(self, name: str) -> Schedule | None:
        return decode(Schedule, self.read(paths.schedule(name)))

    def where(self, name: str) -> str | None:
        node = self.schedule(name)
        return node.server if node else None

    def assigned(self, server: str) -> set[str]:
        node = decode(Assigned, self.read(paths.assigned(server)))
        return set(node.instances) if node else set()

    def status(self, name: str) -> Status | None:
        return decode(Status, self.read(paths.status(name)))

    def numbers(self) -> dict[int, str | None]:
        """/server_ids: number -> the instance that owns it; None: garbage."""
        found = {}
        for number in self.operator.get_children(paths.SERVER_IDS):
            owner = decode(ServerIdOwner, self.read(f"{paths.SERVER_IDS}/{number}"))
            found[int(number)] = owner.instance if owner else None
        return found

    def is_consistent(self) -> bool:
        """The index nodes say what the schedule nodes say, and every instance has a number of its own."""
        try:
            return self._agrees()
        except NoNodeError:  # a folder that somebody has removed and that is not made again yet
            return False

    def _agrees(self) -> bool:
        indexed: dict[str, set[str]] = {}
        numbers = self.numbers()
        if len(set(numbers.values())) < len(numbers):
            return False
        for name in self.operator.get_children(paths.SCHEDULE):
            node = self.schedule(name)
            if node is None or numbers.get(node.server_id) != name:
                return False
            for server in filter(None, (node.server, node.next)):
                indexed.setdefault(server, set()).add(name)
        servers = self.operator.get_children(paths.ASSIGNED)
        return {server: self.assigned(server) for server in servers} == indexed

    def everything(self) -> dict[str, tuple[int, bytes]]:
        """Path -> (mzxid, content) of all that the scheduler may write."""
        found = {}
        for folder in (paths.SCHEDULE, paths.ASSIGNED, paths.SERVER_IDS, paths.REQUESTS, paths.STATE, paths.SCHEDULER):
            for path in self._below(folder):
                data, stat = self.operator.get(path)
                found[path] = (stat.mzxid, data)
        return found

    def _below(self, path: str) -> Iterator[str]:
        yield path
        for child in sorted(self.operator.get_children(path)):
            yield from self._below(f"{path}/{child}")

    def settled(self) -> None:
        """Wait until all is consistent."""
        until(self.is_consistent)

    def reconnect(self) -> None:
        """As new: kazoo's pauses between attempts grow, and an old client has seen more than a ZooKeeper set up anew."""
        self._hang_up()
        self.operator = self.client()

    def _hang_up(self) -> None:
        for client in self._clients:
            client.stop()
            client.close()
        self._clients.clear()

    def close(self) -> None:
        for scheduler in self._schedulers:
            scheduler.stop()
        self._hang_up()


@contextmanager
def scheduled_fleet(ensemble: ZooKeeper) -> Iterator[ScheduledFleet]:
    fleet = ScheduledFleet(ensemble)
    try:
        yield fleet
    finally:
        fleet.close()


def put(client: KazooClient, path: str, data: bytes) -> None:
    """Create or change a node, as by hand."""
    if client.exists(path):
        client.set(path, data)
    else:
        client.create(path, data)
