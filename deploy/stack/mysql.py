"""A server that speaks MySQL's protocol, of any flavour, its data cloned from an empty database."""

import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from deploy.stack import ports
from deploy.stack.daemon import Daemon, run_as_server
from deploy.stack.endpoints import LOOPBACK, MysqlEndpoint
from deploy.stack.flavour import Flavour
from deploy.stack.home import Home, fail, make_folder, read_json, scratch, write, write_json
from deploy.stack.mariadb import Mariadb
from deploy.stack.mysql_flavours import Mysql56, Mysql97
from deploy.stack.service import Say, Service

NEWEST = Mysql97.name
SSL_CA = "--ssl-ca="
FLAVOURS: dict[str, Flavour] = {
    flavour.name: flavour
    for flavour in (
        Mysql97(),
        Mysql56(),
        Mariadb("10.5", "bullseye", "mysql", packages="-10.5"),
        Mariadb("10.11", "bookworm", "mysql"),
        Mariadb("11.8", "trixie", "mariadb"),
    )
}


@dataclass(frozen=True, slots=True)
class MysqlSettings:
    """`flavour`: one of `FLAVOURS`; `options`: further mysqld options, such as `--binlog-format=STATEMENT`."""

    options: tuple[str, ...] = ()
    flavour: str = NEWEST


class Mysql(Service):
    """One mysqld. Its flavour is fixed when it is made."""

    kind: ClassVar[str] = "mysql"
    start_seconds = 120
    stop_seconds = 60
    bind_failures = ("Address already in use", "Do you already have another mysqld server running on port")

    def __init__(self, home: Home, folder: Path, say: Say, settings: MysqlSettings | None = None) -> None:
        super().__init__(home, folder, say)
        self._stored = folder / "settings.json"
        stored = read_json(self._stored)
        self._started_with = (
            MysqlSettings(**stored | {"options": tuple(stored["options"])}) if stored else MysqlSettings()
        )
        self.settings = self._started_with
        self.want(settings)

    def want(self, settings: MysqlSettings | None) -> None:
        """Use `settings` from the next `up` on; None changes nothing."""
        if settings and settings.flavour not in FLAVOURS:
            fail(f"unknown flavour {settings.flavour!r}: use {', '.join(FLAVOURS)}")
        if settings and self._stored.exists() and settings.flavour != self._started_with.flavour:
            fail(f"this server is {self._started_with.flavour}, which is fixed: destroy it, or use another --name")
        self.settings = settings or self.settings

    @property
    def _flavour(self) -> Flavour:
        return FLAVOURS[self.settings.flavour]

    @property
    def _root(self) -> Path:
        return self._flavour.root(self.home)

    def check(self) -> None:
        self._flavour.check(self.home)

    def install(self) -> None:
        self._flavour.install(self.home, self.say)

    def configure(self) -> list[Daemon]:
        write_json(self._stored, asdict(self.settings))
        for part in ("binlog", "files", "tmp"):
            make_folder(self.folder / part, owned=True)
        if not (self.folder / "data").exists():
            self._clone()
        # Left by a kill -9, it names a pid that may be another program's by now: mysqld would refuse to start.
        (self.folder / "data/mysqld.sock.lock").unlink(missing_ok=True)
        port = ports.reserve(self.home, self.folder, ["port"])["port"]
        write(self.folder / "my.cnf", self._flavour.configuration(self._root, self.folder, port))
        self._started_with = self.settings
        return self.describe()

    def _clone(self) -> None:
        new = scratch(self.folder / "data")
        # cp, because it shares blocks where the file system can; as the servers' uid, who then owns the copy.
        command = ["cp", "-a", "--reflink=auto", "--sparse=always", str(self._root / "template/data"), str(new)]
        if run_as_server(command, self.folder / "clone.log"):
            fail(f"copying the empty database failed: {(self.folder / 'clone.log').read_text()}")
        new.rename(self.folder / "data")

    def describe(self) -> list[Daemon]:
        marker = f"--defaults-file={self.folder}/my.cnf"
        command = [str(self._root / "bin/mysqld"), marker, *self._started_with.options]
        return [Daemon("mysqld", marker, command, self.folder / "mysqld.log")]

    def probe(self, daemon: Daemon) -> bool:
        """The first packet of the connection is a greeting (protocol 10), not an error."""
        try:
            with socket.create_connection((LOOPBACK, self._port()), timeout=0.5) as connection:
                packet = connection.recv(5)
        except OSError:
            return False
        return len(packet) == 5 and packet[4] == 10 and daemon.pid() is not None

    def _port(self) -> int:
        return int(read_json(self.folder / ports.FILE)["port"])

    def endpoint(self) -> MysqlEndpoint:
        data = self.folder / "data"
        named = [option.removeprefix(SSL_CA) for option in self.settings.options if option.startswith(SSL_CA)]
        return MysqlEndpoint(
            flavour=self.settings.flavour,
            port=self._port(),
            data_dir=data,
            binlog_dir=self.folder / "binlog",
            bin_dir=self._root / "bin",
            ca=Path(named[-1]) if named else data / "ca.pem",
        )

    def settings_changed(self) -> bool:
        return self.settings != self._started_with
