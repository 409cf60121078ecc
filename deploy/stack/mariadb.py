"""MariaDB from the Debian release that carries the version."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from deploy.stack import debian
from deploy.stack.daemon import run_as_server
from deploy.stack.flavour import ACCOUNT, Flavour, run_once
from deploy.stack.home import Home, fail
from deploy.stack.service import Say

PROGRAMS = {
    "mysqld": "usr/sbin/mariadbd",
    "mysql": "usr/bin/mariadb",
    "mysqladmin": "usr/bin/mariadb-admin",
    "mysqlbinlog": "usr/bin/mariadb-binlog",
    "mysqldump": "usr/bin/mariadb-dump",
}
SCRIPTS = (
    "system_tables",
    "performance_tables",
    "system_tables_data",
    "maria_add_gis_sp_bootstrap",
    "sys_schema",
)
"""What mariadb-install-db runs, in its order; their names begin with mysql_, mariadb_ (11.x) or neither."""
LARGEST_STATEMENT = "--max-allowed-packet=8M"


class Mariadb(Flavour):
    """MariaDB with its own GTIDs; row metadata FULL, as cdcd recommends (its default is NO_LOG)."""

    options = "innodb_log_file_size=64M\n"
    replication: ClassVar[str] = """\
binlog_row_metadata=FULL
gtid_domain_id=0
gtid_strict_mode=ON
log_slave_updates=ON
"""

    def __init__(self, version: str, suite: str, share: str, packages: str = "") -> None:
        """`packages`: what the suite appends to the packages' names."""
        self.name = f"mariadb-{version}"
        self.share = f"usr/share/{share}"
        self._suite = suite
        parts = ("server-core", "server", "client-core", "client")
        self._packages = [f"mariadb-{part}{packages}" for part in parts]

    def _check_source(self) -> None:
        debian.check()

    def _unpack(self, home: Home, new: Path, say: Say) -> None:
        debs = debian.Suite(home, self._suite, say).fetch("mariadb", self._packages)
        say("unpacking")
        debian.install(debs, new, PROGRAMS)

    def _initialise(self, root: Path, new: Path) -> None:
        if run_as_server(["mkdir", "-p", f"{new}/data/mysql"], new / "log"):
            fail(f"making the empty database failed: {(new / 'log').read_text()}")
        script = "".join(self._script(root))
        run_once(root, new, "--bootstrap", LARGEST_STATEMENT, script=script)

    def _script(self, root: Path) -> Iterator[str]:
        yield "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
        for name in SCRIPTS:
            for path in sorted((root / self.share).glob(f"*{name}.sql")):
                lines = path.read_text().splitlines(keepends=True)
                # Accounts for the machine's own name, which only the shell script knows.
                yield "".join(line for line in lines if "@current_hostname" not in line)
        yield f"FLUSH PRIVILEGES;\n{ACCOUNT}"
