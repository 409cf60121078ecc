"""What sets the servers that speak MySQL's protocol apart: where each comes from, how its empty database is made, its options."""

import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from deploy.stack.daemon import run_as_server
from deploy.stack.endpoints import PASSWORD, USER
from deploy.stack.home import Home, fail, make_folder, scratch, write
from deploy.stack.service import Say

ACCOUNT = f"""\
CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;
"""
BASE = """\
[mysqld]
basedir={root}/{base}
lc_messages_dir={root}/{share}
character_sets_dir={root}/{share}/charsets
plugin_dir={root}/{plugins}
innodb_buffer_pool_size=64M
innodb_doublewrite=OFF
performance_schema=OFF
datadir={data}
tmpdir={tmp}
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
log_bin={folder}/binlog/binlog
binlog_format=ROW
binlog_row_image=FULL
binlog_checksum=CRC32
sync_binlog=0
innodb_flush_log_at_trx_commit=2
"""


class Flavour(ABC):
    """One version of one server. Its root folder holds `bin` (mysqld and clients, by MySQL's names) and the empty database."""

    name: str
    """As users write it: mysql-9.7."""
    layout: ClassVar[int] = 1
    """Raise when what is unpacked, or how the empty database is made, changes: older installs are made anew."""
    base: ClassVar[str] = "usr"
    share: str
    """The folder of the messages, below the root."""
    plugins: ClassVar[str] = "usr/lib/mysql/plugin"
    options: ClassVar[str] = ""
    """Options for the empty database and each instance alike."""
    replication: ClassVar[str]
    """Options of each instance: what cdcd recommends for a source."""

    def root(self, home: Home) -> Path:
        return home.cache / f"{self.name}-root-{self.layout}"

    def check(self, home: Home) -> None:
        """Fail when it is still to be downloaded and a program for that is missing on this machine."""
        if not self.root(home).exists():
            self._check_source()

    def install(self, home: Home, say: Say) -> None:
        """Download and unpack it and make its empty database, whatever of that is not in the cache."""
        root = self.root(home)
        with home.lock(f"install-{self.name}"):
            if not root.exists():
                self._make_root(home, root, say)
            if not (root / "template").exists():
                say("making the empty database (once)")
                self._make_template(root)

    def _make_root(self, home: Home, root: Path, say: Say) -> None:
        new = make_folder(scratch(root))
        self._unpack(home, new, say)
        command = [str(new / "bin/mysqld"), "--no-defaults", "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=False)
        if version.returncode:
            fail(f"the unpacked mysqld does not run on this machine: {version.stderr.strip()}")
        say(version.stdout.strip().partition("Ver ")[2])
        new.rename(root)

    def _make_template(self, root: Path) -> None:
        new = make_folder(scratch(root / "template"), owned=True)
        write(new / "my.cnf", self._base(root, new / "data", new) + "skip_log_bin\n")
        self._initialise(root, new)
        new.rename(root / "template")

    def configuration(self, root: Path, folder: Path, port: int) -> str:
        """The option file of an instance in `folder`."""
        base = self._base(root, folder / "data", folder / "tmp")
        return base + INSTANCE.format(folder=folder, port=port) + self.replication

    def _base(self, root: Path, data: Path, tmp: Path) -> str:
        text = BASE.format(root=root, base=self.base, share=self.share, plugins=self.plugins, data=data, tmp=tmp)
        return text + self.options

    @abstractmethod
    def _check_source(self) -> None:
        """Fail when a program that the download needs is missing."""

    @abstractmethod
    def _unpack(self, home: Home, new: Path, say: Say) -> None:
        """Download it, and make its root folder in `new`."""

    @abstractmethod
    def _initialise(self, root: Path, new: Path) -> None:
        """Make an empty database with our account in `new`/data, where `new`/my.cnf says it is; no server UUID."""


def run_once(root: Path, new: Path, *options: str, script: str | None = None) -> None:
    """Run mysqld to its end with the option file in `new`; `script` is SQL for its input."""
    if script is not None:
        write(new / "script.sql", script)
    command = [str(root / "bin/mysqld"), f"--defaults-file={new}/my.cnf", *options]
    if run_as_server(command, new / "log", new / "script.sql" if script is not None else None):
        fail(f"making the empty database failed: {(new / 'log').read_text(errors='replace')[-1000:]}")
