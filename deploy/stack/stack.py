"""A stack: a named set of servers, used by the command line and by tests alike."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.stack.daemon import Daemon
from deploy.stack.endpoints import Endpoints, KafkaEndpoint, MysqlEndpoint, ZookeeperEndpoint
from deploy.stack.home import Home, StackError, fail, make_folder, read_json, remove, write_json
from deploy.stack.kafka import Kafka, KafkaSettings
from deploy.stack.mysql import Mysql, MysqlSettings
from deploy.stack.service import Say, Service, in_parallel
from deploy.stack.zookeeper import Zookeeper, ZookeeperSettings

SERVICES = ("mysql", "zookeeper", "kafka")
OWNER = "owner.json"


def to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


class Stack:
    """Servers that are started, stopped and deleted together.

    Every method may be called again after a kill of the caller or of any server: it goes on from what it finds. Two
    processes may use one stack: changes wait for each other. `owned` ties it to this process: `sweep` deletes it
    once the process is gone.
    """

    def __init__(
        self, name: str = "default", *, home: Home | None = None, owned: bool = False, say: Say = to_stderr
    ) -> None:
        self.name = name
        self.home = home or Home()
        self.folder = self.home.stack_folder(name)
        self._owned = owned
        self._say = say
        self._services: dict[str, Service] = {}

    def up(
        self,
        *services: str,
        mysql: MysqlSettings | None = None,
        kafka: KafkaSettings | None = None,
        zookeeper: ZookeeperSettings | None = None,
    ) -> Endpoints:
        """Start `services` (all when none is named) in parallel and wait until each answers.

        Settings not given stay as they were; other ones than a server runs with restart it.
        """
        wanted = self._checked(services) or SERVICES
        self.home.prepare()
        with self._locked():
            make_folder(self.folder)
            if self._owned:
                write_json(self.folder / OWNER, {"pid": os.getpid(), "started": _started(os.getpid())})
            made = [self._open(kind, mysql, kafka, zookeeper) for kind in wanted]
            in_parallel([service.up for service in made])
        return self.endpoints()

    def missing(self, *services: str, mysql: MysqlSettings | None = None) -> list[str]:
        """What this machine lacks for `services` (all when none is named): a line each, with the remedy."""
        found: dict[str, None] = {}
        for kind in self._checked(services) or SERVICES:
            try:
                self._open(kind, mysql).check()
            except StackError as error:
                found[str(error)] = None
        return list(found)

    def down(self, *services: str, kill: bool = False) -> None:
        """Stop `services` (all when none is named), keeping their data; `kill` does it with SIGKILL."""
        with self._locked():
            in_parallel([lambda s=service: s.stop(kill=kill) for service in self._existing(services)])  # type: ignore[misc]

    def restart(self, *services: str, kill: bool = False) -> Endpoints:
        """Stop and start again, on the same ports and with the same data and settings."""
        kinds = [service.kind for service in self._existing(services)]
        self.down(*kinds, kill=kill)
        return self.up(*kinds) if kinds else self.endpoints()

    def destroy(self) -> None:
        """Kill all servers and delete their data."""
        if not self.home.root.exists():
            return
        with self._locked(remove_lock=True):
            in_parallel([service.destroy for service in self._existing(())])
            remove(self.folder)
        self._services.clear()

    def endpoints(self) -> Endpoints:
        """Where the services of this stack answer, or will when they run again."""
        found = {service.kind: service.endpoint() for service in self._existing(())}
        mysql, zookeeper, kafka = (found.get(kind) for kind in SERVICES)
        assert mysql is None or isinstance(mysql, MysqlEndpoint)
        assert zookeeper is None or isinstance(zookeeper, ZookeeperEndpoint)
        assert kafka is None or isinstance(kafka, KafkaEndpoint)
        return Endpoints(mysql, zookeeper, kafka)

    def daemons(self, *services: str) -> list[Daemon]:
        """The server processes, in the order of `SERVICES`, running or not."""
        return [daemon for service in self._existing(services) for daemon in service.daemons()]

    def mysql_settings(self, changes: Mapping[str, Any]) -> MysqlSettings | None:
        """The settings this stack's MySQL has (ours when it has none yet) with `changes`; None without changes."""
        mysql = self._open("mysql")
        assert isinstance(mysql, Mysql)
        return replace(mysql.settings, **changes) if changes else None

    def kafka_settings(self, changes: Mapping[str, Any]) -> KafkaSettings | None:
        """The settings this stack's Kafka has (ours when it has none yet) with `changes`; None without changes."""
        kafka = self._open("kafka")
        assert isinstance(kafka, Kafka)
        return replace(kafka.settings, **changes) if changes else None

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Send a signal to one running server: `mysqld`, `zookeeper`, `broker-1` ..."""
        matching = [found for found in self.daemons() if found.name == daemon]
        if not matching or matching[0].signal(number) is None:
            fail(f"stack {self.name!r}: no running server {daemon!r}")

    @contextmanager
    def _locked(self, *, remove_lock: bool = False) -> Iterator[None]:
        with self.home.lock(f"stack-{self.name}", remove=remove_lock):
            yield

    def _checked(self, services: Sequence[str]) -> tuple[str, ...]:
        unknown = [service for service in services if service not in SERVICES]
        if unknown:
            fail(f"unknown service {unknown[0]!r}: use {', '.join(SERVICES)}")
        return tuple(dict.fromkeys(services))

    def _existing(self, services: Sequence[str]) -> list[Service]:
        wanted = self._checked(services) or SERVICES
        return [self._open(kind) for kind in wanted if (self.folder / kind).exists() and self._open(kind).exists()]

    def wipe_zookeeper(self) -> None:
        """Delete all that ZooKeeper holds; it must have been stopped."""
        with self._locked():
            zookeeper = self._open("zookeeper")
            assert isinstance(zookeeper, Zookeeper)
            zookeeper.wipe()

    def _open(
        self,
        kind: str,
        mysql: MysqlSettings | None = None,
        kafka: KafkaSettings | None = None,
        zookeeper: ZookeeperSettings | None = None,
    ) -> Service:
        """The service object is kept: it is the parent of its processes and must reap them."""
        known = self._services.get(kind)
        folder, say = self.folder / kind, self._saying(kind)
        match known, kind:
            case Mysql(), _:
                known.want(mysql)
            case Kafka(), _:
                known.want(kafka)
            case Zookeeper(), _:
                known.settings = zookeeper or known.settings
            case None, "mysql":
                known = Mysql(self.home, folder, say, mysql)
            case None, "kafka":
                known = Kafka(self.home, folder, say, kafka)
            case None, _:
                known = Zookeeper(self.home, folder, say, zookeeper)
        assert known is not None
        self._services[kind] = known
        return known

    def _saying(self, kind: str) -> Say:
        prefix = f"{self.name}/{kind}: "
        return lambda line: self._say(prefix + line)


def _started(pid: int) -> str | None:
    """When the process began, in clock ticks since boot: tells it from a later one with the same pid."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def sweep(home: Home | None = None) -> list[str]:
    """Destroy the stacks whose owner is gone; their names."""
    home = home or Home()
    gone = []
    for name in home.stack_names():
        owner: Mapping[str, str] | None = read_json(home.stacks / name / OWNER)
        if owner and _started(int(owner["pid"])) != owner["started"]:
            Stack(name, home=home).destroy()
            gone.append(name)
    return gone
