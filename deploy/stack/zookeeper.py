"""ZooKeeper from Maven: one server."""

import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from deploy.stack import ports
from deploy.stack.daemon import Daemon
from deploy.stack.endpoints import LOOPBACK, ZookeeperEndpoint
from deploy.stack.home import Home, make_folder, read_json, remove, write, write_json
from deploy.stack.java import MARKER, Jars, java
from deploy.stack.service import Say, Service

VERSION = "3.9.4"
JARS = Jars(f"zookeeper-{VERSION}", (
    f"org.apache.zookeeper:zookeeper:{VERSION}",
    "io.dropwizard.metrics:metrics-core:4.1.12.1",  # optional in its pom, needed by the server
    "org.xerial.snappy:snappy-java:1.1.10.7",  # the same
    "org.slf4j:slf4j-simple:2.0.13",  # the log's way to standard error
))  # fmt: skip
# A short tick, for sessions of 1 to 10 s in tests; no fsync, no metrics server; no limit of connections an address.
CONFIGURATION = """\
tickTime=500
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
"""
# A second port with TLS, which only another network layer offers.
SECURE = """\
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
secureClientPort={port}
secureClientPortAddress=127.0.0.1
ssl.keyStore.type=PEM
ssl.keyStore.location={folder}/keystore.pem
ssl.trustStore.type=PEM
ssl.trustStore.location={folder}/truststore.pem
ssl.clientAuth=want
"""
# SASL beside anonymous clients: who may log in, and who holds what a session creates.
ACCOUNTS = """\
authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider
"""
LOGIN = """\
Server {{
  org.apache.zookeeper.server.auth.DigestLoginModule required
  {accounts};
}};
"""
# Lean and quick to start: no second compiler, one collector thread.
FLAGS = (
    "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true",
    "-Dzookeeper.jmx.log4j.disable=true", "-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=1024",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ZookeeperSettings:
    """`overrides`: settings of zoo.cfg on top of ours. `certificate`: PEM files of authority, certificate and key for a TLS port.

    `accounts`: user -> password for SASL with DIGEST-MD5.
    """

    overrides: dict[str, str] = field(default_factory=dict)
    certificate: tuple[str, str, str] | None = None
    accounts: dict[str, str] = field(default_factory=dict)


class Zookeeper(Service):
    """One ZooKeeper server."""

    kind: ClassVar[str] = "zookeeper"
    start_seconds = 60
    stop_seconds = 10
    bind_failures = ("Address already in use",)

    def __init__(self, home: Home, folder: Path, say: Say, settings: ZookeeperSettings | None = None) -> None:
        super().__init__(home, folder, say)
        self._stored = folder / "settings.json"
        stored = read_json(self._stored)
        self._started_with = ZookeeperSettings(**stored) if stored else ZookeeperSettings()
        self.settings = settings or self._started_with

    def check(self) -> None:
        JARS.check(self.home)

    def install(self) -> None:
        JARS.fetch(self.home, self.say)

    def configure(self) -> list[Daemon]:
        make_folder(self.folder / "data", owned=True)
        secure = self.settings.certificate is not None
        found = ports.reserve(self.home, self.folder, ["port", "secure"] if secure else ["port"])
        lines = CONFIGURATION.format(folder=self.folder, port=found["port"])
        if self.settings.certificate:
            ca, certificate, key = (Path(path).read_text() for path in self.settings.certificate)
            write(self.folder / "keystore.pem", key + certificate)
            write(self.folder / "truststore.pem", ca)
            lines += SECURE.format(folder=self.folder, port=found["secure"])
        if self.settings.accounts:
            accounts = "\n  ".join(f'user_{user}="{password}"' for user, password in self.settings.accounts.items())
            write(self.folder / "login.conf", LOGIN.format(accounts=accounts))
            lines += ACCOUNTS
        lines += "".join(f"{name}={value}\n" for name, value in self.settings.overrides.items())
        write(self.folder / "zoo.cfg", lines)
        write_json(self._stored, asdict(self.settings))
        self._started_with = self.settings
        return self.describe()

    def describe(self) -> list[Daemon]:
        marker = MARKER.format(self.folder)
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        login = self.folder / "login.conf"
        flags = [*FLAGS, *([f"-Djava.security.auth.login.config={login}"] if login.exists() else [])]
        command = [java(), marker, *flags, "-cp", JARS.class_path(self.home), main, f"{self.folder}/zoo.cfg"]
        return [Daemon("zookeeper", marker, command, self.folder / "zookeeper.log")]

    def probe(self, daemon: Daemon) -> bool:
        """`srvr` names the mode. A word sent to a starting server may never be answered, hence the time limit."""
        try:
            with socket.create_connection((LOOPBACK, self._port()), timeout=0.5) as connection:
                connection.sendall(b"srvr")
                answer = connection.makefile("rb").read()
        except OSError:
            return False
        return b"Mode:" in answer and daemon.pid() is not None

    def _port(self) -> int:
        return int(read_json(self.folder / ports.FILE)["port"])

    def endpoint(self) -> ZookeeperEndpoint:
        found = read_json(self.folder / ports.FILE)
        secure = f"{LOOPBACK}:{found['secure']}" if self._started_with.certificate else None
        return ZookeeperEndpoint(f"{LOOPBACK}:{found['port']}", secure)

    def settings_changed(self) -> bool:
        return self.settings != self._started_with

    def wipe(self) -> None:
        """Delete all nodes; it must not run."""
        remove(self.folder / "data")
