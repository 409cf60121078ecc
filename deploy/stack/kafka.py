"""Kafka in KRaft mode from Maven: one or several brokers, each also a controller."""

import base64
import socket
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from deploy.stack import ports
from deploy.stack.daemon import Daemon, run_as_server
from deploy.stack.endpoints import LOOPBACK, KafkaEndpoint, SaslAccess
from deploy.stack.home import Home, fail, make_folder, read_json, scratch, write, write_json
from deploy.stack.java import MARKER, Jars, java
from deploy.stack.service import Say, Service, in_parallel

VERSION = "4.1.1"
JARS = Jars(
    f"kafka-{VERSION}",
    (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"),
)
LOG4J = """\
status=error
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
"""
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
SCRAMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
SASL = "-sasl"
"""Ends the name of a TLS listener with accounts."""
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""The request ApiVersions, version 0, without a client id; each broker answers it once it serves clients."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """`overrides`: broker settings on top of ours; `sasl`: a second listener with accounts, and ACLs in force.

    `tls`: name -> PEM files of authority, certificate and key: a listener of that name each; with `sasl` one with accounts beside it.
    """

    brokers: int = 1
    sasl: bool = False
    tls: Mapping[str, Sequence[str]] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    heap: str = "512m"


class Kafka(Service):
    """A Kafka cluster on the loopback address. The number of brokers is fixed when it is made."""

    kind: ClassVar[str] = "kafka"
    start_seconds = 120
    stop_seconds = 10
    bind_failures = ("Address already in use",)

    def __init__(self, home: Home, folder: Path, say: Say, settings: KafkaSettings | None = None) -> None:
        super().__init__(home, folder, say)
        self._stored = folder / "settings.json"
        stored = read_json(self._stored)
        self._started_with = KafkaSettings(**stored) if stored else KafkaSettings()
        self.settings = self._started_with
        self.want(settings)

    def want(self, settings: KafkaSettings | None) -> None:
        """Use `settings` from the next `up` on; None changes nothing."""
        if settings and self.exists() and settings.brokers != self._started_with.brokers:
            fail(
                f"this cluster has {self._started_with.brokers} broker(s), which is fixed: destroy it, or use another --name"
            )
        self.settings = settings or self.settings

    def check(self) -> None:
        JARS.check(self.home)

    def install(self) -> None:
        JARS.fetch(self.home, self.say)
        archive = self._archive()
        with self.home.lock(archive.name):
            if not archive.exists():
                self.say("recording Kafka's classes (once), which halves the work of a start")
                _Rehearsal(self.home, archive.with_suffix(""), self.say).record(archive)

    def _archive(self) -> Path:
        """What the JVM shares between runs (JEP 350): the classes of these jars, as this very java has parsed them."""
        built = int(Path(java()).resolve().stat().st_mtime)
        return self.home.cache / f"{JARS.folder(self.home).name}-{built}.jsa"

    def configure(self) -> list[Daemon]:
        count = self.settings.brokers
        names = [f"{role}-{node}" for node in range(1, count + 1) for role in self._roles()]
        reserved = ports.reserve(self.home, self.folder, names)
        write(self.folder / "log4j2.properties", LOG4J)
        for name, files in self.settings.tls.items():
            ca, certificate, key = (Path(path).read_text() for path in files)
            write(self.folder / f"{name}-keystore.pem", key + certificate)
            write(self.folder / f"{name}-truststore.pem", ca)
        for node in range(1, count + 1):
            make_folder(self.folder / f"broker-{node}", owned=True)
            properties = self._properties(node, reserved)
            write(self._file(node), "".join(f"{key}={value}\n" for key, value in properties.items()))
        write_json(self._stored, asdict(self.settings))
        self._started_with = self.settings
        cluster = self._cluster_id()
        in_parallel([lambda node=node: self._format(node, cluster) for node in range(1, count + 1)])  # type: ignore[misc]
        return self.describe()

    def _roles(self) -> tuple[str, ...]:
        return ("client", "controller", *(("sasl",) if self.settings.sasl else ()), *_tls_listeners(self.settings))

    def _file(self, node: int) -> Path:
        return self.folder / f"broker-{node}" / "broker.properties"

    def _properties(self, node: int, reserved: Mapping[str, int]) -> dict[str, str]:
        count = self.settings.brokers
        copies = min(count, 3)
        voters = ",".join(f"{n}@{LOOPBACK}:{reserved[f'controller-{n}']}" for n in range(1, count + 1))
        clients = f"PLAINTEXT://{LOOPBACK}:{reserved[f'client-{node}']}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
            "listeners": f"{clients},CONTROLLER://{LOOPBACK}:{reserved[f'controller-{node}']}",
            "advertised.listeners": clients,
            "log.dirs": f"{self.folder}/broker-{node}/data",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(min(copies, 2)),
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": str(min(copies, 2)),
            "log.cleaner.dedupe.buffer.size": str(16 << 20),  # the default, 128 MiB, is a quarter of the heap
        }
        if self.settings.sasl:
            settings |= _sasl(settings, reserved[f"sasl-{node}"])
        if self.settings.tls:
            settings |= _tls(
                settings, self.folder, {name: reserved[f"{name}-{node}"] for name in _tls_listeners(self.settings)}
            )
        return settings | dict(self.settings.overrides)

    def _cluster_id(self) -> str:
        path = self.folder / "cluster-id"
        if not path.exists():
            # The first bit is cleared: a leading "-" would make it an option of the storage tool.
            write(path, base64.urlsafe_b64encode(bytes((0,)) + uuid.uuid4().bytes[1:]).decode().rstrip("="))
        return path.read_text()

    def _format(self, node: int, cluster: str) -> None:
        folder = self.folder / f"broker-{node}"
        if (folder / "data").exists():
            return
        new = scratch(folder / "data")
        configuration = new.with_name(f"{new.name}.properties")
        # Of two equal keys the last one counts; what the tool writes names no path.
        write(configuration, self._file(node).read_text() + f"log.dirs={new}\n")
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(configuration))
        jvm = self._java("-Xmx128m", "-XX:TieredStopAtLevel=1", f"-XX:SharedArchiveFile={self._archive()}")
        if run_as_server([*jvm, *tool], folder / "format.log"):
            fail(f"formatting the storage of broker {node} failed: {(folder / 'format.log').read_text()[-1000:]}")
        new.rename(folder / "data")
        configuration.unlink()

    def _java(self, *flags: str) -> list[str]:
        return [
            java(), *flags, "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true", "-cp", JARS.class_path(self.home),
            f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
        ]  # fmt: skip

    def describe(self) -> list[Daemon]:
        return [self._broker(node) for node in range(1, self._started_with.brokers + 1)]

    def _broker(self, node: int) -> Daemon:
        folder = self.folder / f"broker-{node}"
        marker = MARKER.format(folder)
        heap = self._started_with.heap
        command = [
            *self._java(marker, f"-Xms{heap}", f"-Xmx{heap}", self._sharing()),
            "kafka.Kafka",
            str(self._file(node)),
        ]
        return Daemon(f"broker-{node}", marker, command, folder / "broker.log")

    def _sharing(self) -> str:
        return f"-XX:SharedArchiveFile={self._archive()}"

    def probe(self, daemon: Daemon) -> bool:
        port = read_json(self.folder / ports.FILE)[f"client-{daemon.name.removeprefix('broker-')}"]
        try:
            with socket.create_connection((LOOPBACK, port), timeout=0.5) as connection:
                connection.sendall(API_VERSIONS)
                answer = connection.recv(10)
        except OSError:
            return False
        # size, correlation id, error code 0
        return len(answer) == 10 and answer[4:] == b"\0\0\0\x01\0\0" and daemon.pid() is not None

    def endpoint(self) -> KafkaEndpoint:
        reserved = read_json(self.folder / ports.FILE)

        def bootstrap(role: str) -> str:
            return ",".join(f"{LOOPBACK}:{reserved[f'{role}-{n}']}" for n in range(1, self._started_with.brokers + 1))

        sasl = SaslAccess(bootstrap("sasl")) if self._started_with.sasl else None
        return KafkaEndpoint(
            bootstrap("client"), sasl, {name: bootstrap(name) for name in _tls_listeners(self._started_with)}
        )

    def settings_changed(self) -> bool:
        return self.settings != self._started_with


class _Rehearsal(Kafka):
    """A broker that is started and stopped only to record its classes."""

    stop_seconds = 120

    def install(self) -> None:
        """Only ever made by the install itself."""

    def record(self, archive: Path) -> None:
        self.destroy()  # left by an interrupted run
        try:
            self.up()
            self.stop()
            (self.folder / "classes.jsa").rename(archive)
        except FileNotFoundError:
            self.say(f"{java()} recorded nothing: starts stay slower")
        finally:
            self.destroy()

    def _sharing(self) -> str:
        return f"-XX:ArchiveClassesAtExit={self.folder}/classes.jsa"


def _sasl(settings: Mapping[str, str], port: int) -> dict[str, str]:
    """A listener with PLAIN accounts; whoever comes without credentials by the other one keeps all rights."""
    return _listening(settings, {"SASL": port}) | {
        **_accounts("sasl"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{SaslAccess('').admin_user}",
    }


def _tls_listeners(settings: KafkaSettings) -> Iterator[str]:
    for name in settings.tls:
        yield name
        if settings.sasl:
            yield f"{name}{SASL}"


def _tls(settings: Mapping[str, str], folder: Path, listeners: Mapping[str, int]) -> dict[str, str]:
    """Each with its own certificate; a client may show one of the same authority, which is then its account."""
    found = _listening(settings, {name.upper(): port for name, port in listeners.items()})
    protocols = [f"{name.upper()}:{'SASL_SSL' if name.endswith(SASL) else 'SSL'}" for name in listeners]
    found["listener.security.protocol.map"] = ",".join([settings["listener.security.protocol.map"], *protocols])
    for name in listeners:
        for store in ("keystore", "truststore"):
            found[f"listener.name.{name}.ssl.{store}.type"] = "PEM"
            found[f"listener.name.{name}.ssl.{store}.location"] = f"{folder}/{name.removesuffix(SASL)}-{store}.pem"
        found |= _accounts(name) if name.endswith(SASL) else {f"listener.name.{name}.ssl.client.auth": "requested"}
    return found


def _listening(settings: Mapping[str, str], ports_of: Mapping[str, int]) -> dict[str, str]:
    added = [f"{name}://{LOOPBACK}:{port}" for name, port in ports_of.items()]
    return {key: ",".join([settings[key], *added]) for key in ("listeners", "advertised.listeners")}


def _accounts(listener: str) -> dict[str, str]:
    """Those of PLAIN are fixed; for SCRAM they are whatever is put into the cluster."""
    access = SaslAccess("")
    accounts = {access.admin_user: access.admin_password, access.limited_user: access.limited_password}
    users = " ".join(f'user_{name}="{password}"' for name, password in accounts.items())
    scram = {f"listener.name.{listener}.{name.lower()}.sasl.jaas.config": f"{SCRAM};" for name in SCRAMS}
    return {
        f"listener.name.{listener}.sasl.enabled.mechanisms": ",".join(["PLAIN", *SCRAMS]),
        f"listener.name.{listener}.plain.sasl.jaas.config": f"{PLAIN} {users};",
        **scram,
    }
