"""MySQL from Debian sid, unpacked and started with the C library and the loader of its own suite."""

import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from deploy.stack import debian, ports
from deploy.stack.daemon import Daemon, run_as_server
from deploy.stack.endpoints import LOOPBACK, PASSWORD, USER, MysqlEndpoint
from deploy.stack.home import Home, fail, make_folder, read_json, scratch, write, write_json
from deploy.stack.service import Say, Service

SUITE = "sid"
PACKAGES = ("mysql-server-core", "mysql-client-core")
PROGRAMS = ("mysqld", "mysql", "mysqladmin", "mysqlbinlog", "mysqldump")
LAYOUT = 1
"""Raise when what is unpacked, or how the empty database is made, changes: older installs are made anew."""

WRAPPER = """\
#!/bin/sh
r=$(dirname "$(dirname "$(readlink -f "$0")")")
OPENSSL_CONF=/dev/null OPENSSL_MODULES="$r/{modules}"; export OPENSSL_CONF OPENSSL_MODULES
exec "$r/{loader}" --inhibit-cache --library-path "$r/{libraries}" "$r/{program}" "$@"
"""
BASE = """\
[mysqld]
basedir={root}/usr
lc_messages_dir={root}/usr/share/mysql
character_sets_dir={root}/usr/share/mysql/charsets
plugin_dir={root}/usr/lib/mysql/plugin
innodb_buffer_pool_size=64M
performance_schema=OFF
mysqlx=OFF
tmpdir={tmp}
datadir={data}
"""
TEMPLATE = """\
skip_log_bin
innodb_flush_method=nosync
innodb_doublewrite=OFF
innodb_redo_log_capacity=64M
"""
# No fsync, yet a server killed with -9 loses nothing that it acknowledged: only the machine's crash would.
INSTANCE = """\
port={port}
bind_address=127.0.0.1
socket=mysqld.sock
pid_file=mysqld.pid
secure_file_priv={folder}/files
skip_name_resolve=ON
default_time_zone='+00:00'
character_set_server=utf8mb4
max_connections=200
table_open_cache=400
server_id={port}
gtid_mode=ON
enforce_gtid_consistency=ON
log_bin={folder}/binlog/binlog
binlog_format=ROW
binlog_row_image=FULL
binlog_row_metadata=FULL
binlog_checksum=CRC32
sync_binlog=0
innodb_flush_log_at_trx_commit=2
innodb_doublewrite=OFF
innodb_redo_log_capacity=256M
"""
ACCOUNT = """\
CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'127.0.0.1' WITH GRANT OPTION;
"""


@dataclass(frozen=True, slots=True)
class MysqlSettings:
    """`options`: further mysqld options, such as `--binlog-format=STATEMENT`."""

    options: tuple[str, ...] = ()


class Mysql(Service):
    """One mysqld, its data cloned from an empty database that is made once for each install."""

    kind: ClassVar[str] = "mysql"
    start_seconds = 120
    stop_seconds = 60
    bind_failures = ("Address already in use", "Do you already have another mysqld server running on port")

    def __init__(self, home: Home, folder: Path, say: Say, settings: MysqlSettings | None = None) -> None:
        super().__init__(home, folder, say)
        self._stored = folder / "settings.json"
        stored = read_json(self._stored)
        self._started_with = MysqlSettings(tuple(stored["options"])) if stored else MysqlSettings()
        self.settings = settings or self._started_with
        self.root = home.cache / f"mysql-{SUITE}-root-{LAYOUT}"

    def check(self) -> None:
        if not self.root.exists():
            debian.check()

    def install(self) -> None:
        suite = debian.Suite(self.home, SUITE, self.say)
        with self.home.lock(f"install-mysql-{SUITE}"):
            if not self.root.exists():
                self._unpack(suite.fetch("mysql", PACKAGES))
            if not (self.root / "template").exists():
                self._make_template(self.root)

    def _unpack(self, debs: Path) -> None:
        self.say("unpacking")
        new = make_folder(scratch(self.root))
        debian.unpack(debs, new)
        for part in ("doc", "man", "locale", "lintian", "bug"):
            shutil.rmtree(new / "usr/share" / part, ignore_errors=True)
        for program in (new / "usr/bin").iterdir():
            if program.name not in PROGRAMS:
                program.unlink()
        _wrap(new)
        version = subprocess.run(
            [new / "bin/mysqld", "--no-defaults", "--version"], capture_output=True, text=True, check=False
        )
        if version.returncode:
            fail(f"the unpacked mysqld does not run on this machine: {version.stderr.strip()}")
        self.say(version.stdout.strip().partition("Ver ")[2])
        new.rename(self.root)

    def _make_template(self, root: Path) -> None:
        self.say("making the empty database (once)")
        new = make_folder(scratch(root / "template"), owned=True)
        write(new / "my.cnf", BASE.format(root=root, data=new / "data", tmp=new) + TEMPLATE)
        write(new / "account.sql", ACCOUNT.format(user=USER, password=PASSWORD))
        command = [
            str(root / "bin/mysqld"),
            f"--defaults-file={new}/my.cnf",
            "--initialize-insecure",
            f"--init-file={new}/account.sql",
        ]
        if run_as_server(command, new / "log"):
            fail(f"initialising the database failed: {(new / 'log').read_text()[-1000:]}")
        (new / "data/auto.cnf").unlink()  # each instance gets a server_uuid of its own
        new.rename(root / "template")

    def configure(self) -> list[Daemon]:
        for part in ("binlog", "files", "tmp"):
            make_folder(self.folder / part, owned=True)
        if not (self.folder / "data").exists():
            self._clone()
        # Left by a kill -9, it names a pid that may be another program's by now: mysqld would refuse to start.
        (self.folder / "data/mysqld.sock.lock").unlink(missing_ok=True)
        port = ports.reserve(self.home, self.folder, ["port"])["port"]
        base = BASE.format(root=self.root, data=self.folder / "data", tmp=self.folder / "tmp")
        write(self.folder / "my.cnf", base + INSTANCE.format(folder=self.folder, port=port))
        write_json(self._stored, {"options": list(self.settings.options)})
        self._started_with = self.settings
        return self.describe()

    def _clone(self) -> None:
        new = scratch(self.folder / "data")
        # cp, because it shares blocks where the file system can; as the servers' uid, who then owns the copy.
        command = ["cp", "-a", "--reflink=auto", "--sparse=always", str(self.root / "template/data"), str(new)]
        if run_as_server(command, self.folder / "clone.log"):
            fail(f"copying the empty database failed: {(self.folder / 'clone.log').read_text()}")
        new.rename(self.folder / "data")

    def describe(self) -> list[Daemon]:
        marker = f"--defaults-file={self.folder}/my.cnf"
        command = [str(self.root / "bin/mysqld"), marker, *self._started_with.options]
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
        return MysqlEndpoint(self._port(), data, self.folder / "binlog", self.root / "bin", data / "ca.pem")

    def settings_changed(self) -> bool:
        return self.settings != self._started_with


def _wrap(root: Path) -> None:
    """Make bin/PROGRAM run usr/{bin,sbin}/PROGRAM with the suite's own loader and libraries."""
    loader = next((path for path in sorted(root.glob("usr/lib/*/ld-linux-*.so.*")) if not path.is_symlink()), None)
    if loader is None:
        fail("the unpacked packages hold no dynamic loader")
    libraries = loader.parent.relative_to(root)
    make_folder(root / "bin")
    for name in PROGRAMS:
        program = next(path for path in (root / "usr/sbin" / name, root / "usr/bin" / name) if path.exists())
        wrapper = root / "bin" / name
        write(
            wrapper,
            WRAPPER.format(
                modules=libraries / "ossl-modules",
                loader=loader.relative_to(root),
                libraries=libraries,
                program=program.relative_to(root),
            ),
        )
        wrapper.chmod(0o755)
