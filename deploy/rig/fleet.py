"""A fleet under test: `cdcd run` processes on real servers, and what the tree says that they do."""

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.rig.process import LAUNCH, Process, plain_environment, until
from deploy.rig.source import Source
from deploy.rig.tree import Tree, TreeAway
from deploy.rig.worker import Instance, write_credential

SESSION_SECONDS = 3.0
TICK_SECONDS = 0.5

_SETTINGS = """\
cluster = "{cluster}"
server_id = "{server}"
credentials_dir = "{folder}/credentials"
http.port = 0

[zookeeper]
hosts = ["{zookeeper}"]
chroot = "{chroot}"
session_timeout = "{session:g}s"
{ensemble}

[kafka.default]
bootstrap_servers = {bootstrap}

[fleet]
{fleet}

[scheduling]
{scheduling}
"""
_FLEET: dict[str, Any] = {
    "capacity": 1.0,
    "report_interval": "500ms",
    "reconcile_interval": "500ms",
    "rate_window": "3s",
}
_SCHEDULING: dict[str, Any] = {
    "settle": "2s",
    "mature": "3s",
    "cooldown": "5s",
    "handover_timeout": "15s",
    "avoid": "20s",
}


class Server(Process):
    """One server's process, leader of a process group to which its workers belong."""

    def __init__(
        self, server_id: str, command: list[str], environment: dict[str, str], log: Path, *, piped: bool = False
    ) -> None:
        super().__init__(command, environment, 0, log, piped=piped)
        self.id = server_id

    def signal_all(self, number: signal.Signals) -> None:
        """To the server and its workers at once; to the workers that are left where the server is gone."""
        if self.group():
            with suppress(ProcessLookupError):  # the last of them ended meanwhile
                os.killpg(self.pid, number)

    def kill_all(self) -> None:
        """`kill -9` of the server with its workers, and all gone when this returns."""
        self.signal_all(signal.SIGKILL)
        self.wait(30)
        until(lambda: not self.group(), f"the processes of {self.id} are gone", 30)

    def group(self) -> set[int]:
        """Pids of the living processes of its group."""
        pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return {pid for pid in pids if _group_of(pid) == self.pid}


def _group_of(pid: int) -> int | None:
    """Process group; None of one that is gone or only waits to be reaped."""
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state == "Z" else int(group)


@dataclass(slots=True)
class Fleet:
    """Servers that share a chroot and a cluster name which nobody else uses."""

    folder: Path
    zookeeper: str
    bootstrap: str
    fleet: Mapping[str, Any] = field(default_factory=dict)
    """`[fleet]` settings of every server, over the tests' usual ones."""
    scheduling: Mapping[str, Any] = field(default_factory=dict)
    ensemble: Mapping[str, Any] = field(default_factory=dict)
    """Further `[zookeeper]` settings of every server."""
    session: float = SESSION_SECONDS
    cluster: str = field(default_factory=lambda: f"f{secrets.token_hex(3)}")
    servers: dict[str, Server] = field(default_factory=dict)
    """The newest process of each server id."""
    started: list[Server] = field(default_factory=list)
    """Every process, oldest first."""
    instances: dict[str, Instance] = field(default_factory=dict)
    withheld: set[tuple[str, str]] = field(default_factory=set)
    """(server, instance): that server is not given that instance's credential."""
    _tree: Tree | None = None

    # ---------------------------------------------------------------- servers

    @property
    def chroot(self) -> str:
        return f"/{self.cluster}"

    @property
    def tree(self) -> Tree:
        if self._tree is None:
            self._tree = Tree(self.zookeeper, self.chroot)
        return self._tree

    def reconnect(self) -> None:
        """Look at the tree with another client: a ZooKeeper that was built anew refuses who has seen more than it."""
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    def start(self, server: str, *, failpoint: str | None = None, piped: bool = False, **fleet: Any) -> Server:
        """Start a server (again); `fleet` are `[fleet]` settings of its own; `piped` as of Process. Returns at once."""
        for instance in self.instances.values():
            self._grant(server, instance)
        environment = plain_environment()
        if failpoint is not None:
            environment |= {"CDCD_TESTING": "1", "CDCD_FAILPOINT": failpoint}
        settings = self.write_settings(server, **fleet)
        command = [sys.executable, "-c", LAUNCH, "run", "--config", str(settings)]
        log = self.folder / f"{server}-{len(self.started) + 1:03}"
        process = Server(server, command, environment, log, piped=piped)
        self.servers[server] = process
        self.started.append(process)
        return process

    def write_settings(self, server: str, **fleet: Any) -> Path:
        """Its settings file, which `cdcctl` reads as well."""
        path = self._home(server) / "cdcd.toml"
        text = _SETTINGS.format(
            cluster=self.cluster, server=server, folder=path.parent, zookeeper=self.zookeeper, chroot=self.chroot,
            session=self.session, bootstrap=json.dumps(self.bootstrap.split(",")),
            fleet=_toml({**_FLEET, **self.fleet, **fleet}), scheduling=_toml({**_SCHEDULING, **self.scheduling}), ensemble=_toml(self.ensemble),
        )  # fmt: skip
        path.write_text(text)
        return path

    def registered(self, *servers: str, timeout: float = 60) -> None:
        """Wait until these (all that were started if none is named) stand in the tree, and learn where they answer."""
        for server in servers or tuple(self.servers):
            process = self.servers[server]
            address = until(lambda s=server: self._address(s), f"{server} registers\n{process.said()}", timeout)  # type: ignore[misc]
            process.port = int(address.rpartition(":")[2])

    def _address(self, server: str) -> str | None:
        process = self.servers[server]
        if process.poll() is not None:
            raise RuntimeError(f"{server} ended with {process.code}\n{process.said()}")
        node = self.tree.content(f"/servers/{server}")
        return str(node["http"]) if node.get("pid") == process.pid else None

    def scheduler(self) -> str | None:
        """Who is elected: the server whose session owns the leader's node."""
        leader = self.tree.node("/scheduler/leader")
        for server in self.tree.children("/servers"):
            node = self.tree.node(f"/servers/{server}")
            if leader and node and node.owner == leader.owner:
                return server
        return None

    def close(self) -> None:
        """Kill whatever still runs, also what is stopped."""
        for process in self.started:
            process.kill_all()
        self.reconnect()

    def withhold(self, server: str, instance: str) -> None:
        """Take the credential of an instance away from a server: it cannot start that instance."""
        credential = self.instances[instance].credential
        self.withheld.add((server, instance))
        (self._home(server) / "credentials" / credential).unlink(missing_ok=True)

    def give_back(self, server: str, instance: str) -> None:
        self.withheld.discard((server, instance))
        self._grant(server, self.instances[instance])

    def _grant(self, server: str, instance: Instance) -> None:
        if (server, instance.name) not in self.withheld:
            instance.grant(self._home(server))

    def _home(self, server: str) -> Path:
        """Settings and credentials of a server."""
        home = self.folder / server
        home.mkdir(parents=True, exist_ok=True)
        write_credential(home, "unused", ("nobody", "nothing"), "nowhere:1")  # the folder must exist
        return home

    # ---------------------------------------------------------------- instances

    def instance(self, name: str, source: Source, database: str, tables: tuple[str, ...], **more: Any) -> Instance:
        """An instance of this fleet; not defined yet. Servers that run get its credential."""
        made = Instance(
            name, self.folder, source, self.bootstrap, database, tables,
            cluster=self.cluster, credential=f"{name}-db", **more,
        )  # fmt: skip
        self.instances[name] = made
        for server in self.servers:
            self._grant(server, made)
        return made

    def define(self, *instances: Instance) -> None:
        """Put their definitions as they are now, like somebody with a plain ZooKeeper client."""
        for instance in instances:
            self.tree.put(f"/instances/{instance.name}", json.dumps(instance.definition()).encode())

    def runner(self, name: str) -> str | None:
        """Server whose worker holds the lock."""
        return self.tree.content(f"/state/{name}/running").get("server")

    def worker_pid(self, name: str) -> int:
        """Of the process that holds the lock; somebody has to."""
        return int(until(lambda: self.tree.content(f"/state/{name}/running").get("pid"), f"somebody runs {name}"))

    def schedule(self, name: str) -> dict[str, Any]:
        """The schedule node."""
        return self.tree.content(f"/schedule/{name}")

    def status(self, name: str) -> dict[str, Any]:
        return self.tree.content(f"/state/{name}/status")

    def placed(self) -> dict[str, list[str]]:
        """Server -> the instances whose locks its workers hold."""
        found: dict[str, list[str]] = {server: [] for server in tuple(self.servers)}
        for name in self.instances:
            if runner := self.runner(name):
                found.setdefault(runner, []).append(name)
        return found

    def runs(self, name: str) -> bool:
        """Whether its worker holds the lock, publishes, and nothing is under way."""
        try:
            node, status = self.schedule(name), self.status(name)
            runner = self.runner(name)
        except TreeAway:
            return False
        here = runner is not None and runner == node.get("server") == status.get("server")
        return here and node.get("next") is None and status.get("state") == "running"

    def running(self, *names: str, timeout: float = 60) -> None:
        """Wait until all of these (all that there are if none is named) publish."""
        for name in names or tuple(self.instances):
            try:
                until(lambda n=name: self.runs(n), f"{name} runs", timeout)  # type: ignore[misc]
            except TimeoutError as error:
                raise TimeoutError(f"{error}\n{self.account(name)}") from None

    def move(self, name: str, to: str) -> None:
        """Ask for a move; returns at once."""
        self.tree.request(name, "move", server=to)

    def moved(self, name: str, to: str, timeout: float = 60) -> float:
        """Wait until `to` runs it and the move is over; seconds that took."""
        began = time.monotonic()
        try:
            until(lambda: self.runner(name) == to and self.runs(name), f"{name} moves to {to}", timeout, every=0.02)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.account(name)}") from None
        return time.monotonic() - began

    def loads(self) -> dict[str, dict[str, Any]]:
        """Server -> its load-balance node."""
        return {server: self.tree.content(f"/load/{server}") for server in self.tree.children("/load")}

    def account(self, *names: str) -> str:
        """All that is known of instances and servers, for a failed test."""
        lines = [
            f"/{kind}/{name}{rest}: {json.dumps(self.tree.content(f'/{kind}/{name}{rest}'))}"
            for name in names
            for kind, rest in (("schedule", ""), ("state", "/running"), ("state", "/standby"), ("state", "/status"))
        ]
        lines += [f"/servers: {self.tree.children('/servers')}, scheduler: {self.scheduler()}"]
        lines += [f"{server.id} (exit {server.poll()}):\n{server.said()}" for server in self.servers.values()]
        return "\n".join(lines)


def _toml(section: Mapping[str, Any]) -> str:
    """JSON's values are TOML's, as far as they go here."""
    return "\n".join(f"{name} = {_value(value)}" for name, value in section.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)
