"""A `cdcd run --standalone` process under test: started, killed, stopped in its tracks, looked at from outside."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy.rig.process import LAUNCH, Process, free_port, plain_environment, until
from deploy.rig.source import Source
from deploy.rig.topics import OpenTransaction, read_committed, topics_like

__all__ = ["Instance", "Worker", "caught_up", "until"]


class Worker(Process):
    """The process of an instance that runs alone."""


@dataclass(slots=True)
class Instance:
    """One instance's definition, credential and settings on disk, and the processes that ran it."""

    name: str
    folder: Path
    source: Source
    bootstrap: str
    database: str
    tables: tuple[str, ...]
    start: object = "latest"
    overrides: dict[str, Any] = field(default_factory=dict)
    """Merged over the definition, section by section."""
    settings: dict[str, str] = field(default_factory=dict)
    """Environment over the usual one."""
    hosts: tuple[str, ...] = ()
    """`host:port` of several servers to read from; without them that of `source`."""
    login: tuple[str, str] | None = None
    """User and password for the credential; without it those of `source`."""
    cluster: str = "default"
    """Name of the fleet that runs it."""
    credential: str = "source"
    workers: list[Worker] = field(default_factory=list)
    """Every process started for it, oldest first."""

    @property
    def topic(self) -> str:
        return f"cdc.{self.name}.{{database}}.{{table}}"

    @property
    def ddl_topic(self) -> str:
        return f"cdc.{self.name}.ddl"

    @property
    def position_topic(self) -> str:
        return f"__cdcd_positions.{self.cluster}.{self.name}"

    @property
    def transactional_id(self) -> str:
        return f"cdcd.{self.cluster}.{self.name}"

    def definition(self) -> dict[str, Any]:
        """design.md section 3a."""
        base: dict[str, Any] = {
            "version": 1,
            "name": self.name,
            "source": {"host": self.source.host, "port": self.source.port, "credential": self.credential},
            "tables": {"include": [f"{self.database}.{table}" for table in self.tables]},
            "start": self.start,
            "sink": {
                "topic": self.topic,
                "ddl_topic": self.ddl_topic,
                "create": {"partitions": 4, "replication": 1},
            },
        }
        if self.hosts:
            base["source"] = {"hosts": list(self.hosts), "credential": self.credential}
        for section, value in self.overrides.items():
            old = base.get(section)
            base[section] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        return base

    def write(self) -> Path:
        """Definition and credential as files; returns the definition's path."""
        self.grant(self.folder)
        path = self.folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(self.definition(), sort_keys=False))
        return path

    def grant(self, folder: Path) -> None:
        """Its credential for whoever has its credentials in `folder`/credentials."""
        source = self.definition()["source"]
        hosts = self.hosts or (f"{source['host']}:{source['port']}",)
        login = self.login or (self.source.user, self.source.password)
        write_credential(folder, self.credential, login, *hosts)

    def write_credential(self, name: str, login: tuple[str, str], *hosts: str) -> None:
        """One more credential, which may be sent to `hosts` (`host:port` each)."""
        write_credential(self.folder, name, login, *hosts)

    def run(self, *, until_end: bool = False, failpoint: str | None = None) -> Worker:
        """Start a worker process for it."""
        port = free_port()
        command = [sys.executable, "-c", LAUNCH, "run", "--standalone", str(self.write())]
        if until_end:
            command.append("--until-end")
        log = self.folder / f"{self.name}-{len(self.workers) + 1:03}"
        environment = {"CDCD_HTTP__PORT": str(port)} | self.environment()
        if failpoint is not None:
            environment |= {"CDCD_TESTING": "1", "CDCD_FAILPOINT": failpoint}
        self.workers.append(Worker(command, environment, port, log))
        return self.workers[-1]

    def kill_all(self) -> None:
        """Kill whatever of it still runs, also a stopped one."""
        for worker in self.workers:
            worker.kill()

    def environment(self) -> dict[str, str]:
        """In which a command finds its brokers and credentials."""
        usual = {
            "CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS": self.bootstrap,
            "CREDENTIALS_DIRECTORY": str(self.folder / "credentials"),
        }
        return plain_environment() | usual | self.settings


def write_credential(folder: Path, name: str, login: tuple[str, str], *hosts: str) -> None:
    """Whoever reads it at this moment sees the old one or the new one, whole."""
    secret = folder / "credentials" / name
    secret.parent.mkdir(parents=True, exist_ok=True)
    draft = secret.with_name(f".{name}")
    draft.touch(0o600)
    draft.write_text(yaml.safe_dump({"user": login[0], "password": login[1], "hosts": list(hosts)}))
    draft.replace(secret)


def caught_up(instance: Instance) -> bool:
    """Whether its newest committed position holds everything that the source has executed by now."""
    if not topics_like(instance.bootstrap, instance.position_topic):
        return False
    try:
        newest = [json.loads(record.value) for record in read_committed(instance.bootstrap, [instance.position_topic])][
            -1:
        ]
    except OpenTransaction:
        return False
    return bool(newest) and newest[0]["rows_done"] == 0 and instance.source.has_executed_only(newest[0]["gtid_set"])
