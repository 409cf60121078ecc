"""ZooKeeper from Maven: one server."""

import socket
from typing import ClassVar

from deploy.stack import ports
from deploy.stack.daemon import Daemon
from deploy.stack.endpoints import LOOPBACK, ZookeeperEndpoint
from deploy.stack.home import make_folder, read_json, write
from deploy.stack.java import MARKER, Jars, java
from deploy.stack.service import Service

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
# Lean and quick to start: no second compiler, one collector thread.
FLAGS = (
    "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true",
    "-Dzookeeper.jmx.log4j.disable=true", "-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=1024",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
)  # fmt: skip


class Zookeeper(Service):
    """One ZooKeeper server."""

    kind: ClassVar[str] = "zookeeper"
    start_seconds = 60
    stop_seconds = 10
    bind_failures = ("Address already in use",)

    def check(self) -> None:
        JARS.check(self.home)

    def install(self) -> None:
        JARS.fetch(self.home, self.say)

    def configure(self) -> list[Daemon]:
        make_folder(self.folder / "data", owned=True)
        port = ports.reserve(self.home, self.folder, ["port"])["port"]
        write(self.folder / "zoo.cfg", CONFIGURATION.format(folder=self.folder, port=port))
        return self.describe()

    def describe(self) -> list[Daemon]:
        marker = MARKER.format(self.folder)
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        command = [java(), marker, *FLAGS, "-cp", JARS.class_path(self.home), main, f"{self.folder}/zoo.cfg"]
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
        return ZookeeperEndpoint(f"{LOOPBACK}:{self._port()}")

    def settings_changed(self) -> bool:
        return False
