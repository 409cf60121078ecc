"""The independent reading of a binlog: the server's own `mysqlbinlog -v`, parsed from its text.

### UPDATE `shop`.`orders`
### WHERE
###   @1=7
### SET
###   @1=7
"""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from deploy.rig.source import BinlogPoint, Source

Operation = Literal["INSERT", "UPDATE", "DELETE"]

_TABLE = re.compile(r"### (INSERT INTO|UPDATE|DELETE FROM) `((?:[^`]|``)*)`\.`((?:[^`]|``)*)`")
_OPERATIONS: dict[str, Operation] = {"INSERT INTO": "INSERT", "UPDATE": "UPDATE", "DELETE FROM": "DELETE"}
_GTID = re.compile(r"SET @@SESSION\.GTID_NEXT= '([^']*)'")
_MARIADB_GTID = re.compile(r"#(\d{6} [ \d]\d:\d\d:\d\d) server id .*\tGTID (\d+-\d+-\d+)")
"""Its header also has the time, in whole seconds."""
_COMMIT_TIME = "# immediate_commit_timestamp="
_TRANSACTIONAL = ("BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT", "XA ")


@dataclass(slots=True)
class Change:
    """One row change; images are literals as mysqlbinlog prints them, in column order."""

    table: str
    operation: Operation
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Transaction:
    """One GTID: its row changes in statement order, or the statement it is (DDL)."""

    gtid: str
    commit_us: int = 0
    """Commit time on this server, microseconds since 1970."""
    changes: list[Change] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)


def read_binlog(source: Source, start: BinlogPoint) -> Iterator[Transaction]:
    """All transactions from `start` to the end of the binlog as it is now.

    Raises RuntimeError with mysqlbinlog's own words when it fails.
    """
    command = [
        str(source.mysqlbinlog),
        "--no-defaults",
        "--read-from-remote-server",
        f"--host={source.host}",
        f"--port={source.port}",
        f"--user={source.user}",
        f"--password={source.password}",
        *(["--skip-ssl"] if source.mariadb else []),
        "--verbose",
        "--base64-output=decode-rows",
        "--to-last-log",
        f"--start-position={start.offset}",
        start.file,
    ]
    in_utc = os.environ | {"TZ": "UTC"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=in_utc) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield from parse(line.decode("utf-8", "surrogateescape").rstrip("\n") for line in process.stdout)
        said = process.stderr.read().decode()
    if process.returncode:
        raise RuntimeError(f"mysqlbinlog failed: {said.strip()}")


def parse(lines: Iterable[str]) -> Iterator[Transaction]:
    """Transactions from mysqlbinlog's output, each when the next begins."""
    parser = _Parser()
    for line in lines:
        finished = parser.line(line)
        if finished is not None:
            yield finished
    if parser.transaction is not None:
        yield parser.transaction


class _Parser:
    def __init__(self) -> None:
        self.transaction: Transaction | None = None
        self._image: list[str] = []
        self._change = Change("", "INSERT")
        self._query: list[str] | None = None
        self._commit_us = 0

    def line(self, line: str) -> Transaction | None:
        """Take one line; returns the transaction that the line closes."""
        if line.startswith("###   @"):
            self._image.append(_literal(line))
        elif line.startswith("### "):
            self._row_line(line)
        elif match := _MARIADB_GTID.match(line):
            seconds = datetime.strptime(match[1], "%y%m%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
            return self._begin(match[2], int(seconds) * 1_000_000)
        elif line.startswith("#"):
            self._header(line)
        elif line.startswith("SET @@SESSION.GTID_NEXT"):
            return self._next(line)
        elif self._query is not None:
            self._query_line(line)
        return None

    def _row_line(self, line: str) -> None:
        if line == "### WHERE":
            self._image = self._change.before
        elif line == "### SET":
            self._image = self._change.after
        else:
            self._begin_change(line)

    def _begin_change(self, line: str) -> None:
        match = _TABLE.match(line)
        if match is None or self.transaction is None:
            raise RuntimeError(f"mysqlbinlog printed a row that is not understood: {line!r}")
        verb, database, table = match.groups()
        self._change = Change(f"{database}.{table}".replace("``", "`"), _OPERATIONS[verb])
        self.transaction.changes.append(self._change)

    def _header(self, line: str) -> None:
        if line.startswith(_COMMIT_TIME):
            self._commit_us = int(line[len(_COMMIT_TIME) :].partition(" ")[0])
        elif "end_log_pos" in line:
            self._query = [] if "\tQuery\t" in line else None

    def _next(self, line: str) -> Transaction | None:
        match = _GTID.match(line)
        assert match is not None, line
        return self._begin(match.group(1), self._commit_us)

    def _begin(self, gtid: str, commit_us: int) -> Transaction | None:
        finished = self.transaction
        self.transaction = None if gtid == "AUTOMATIC" else Transaction(gtid, commit_us)
        self._query = None
        return finished

    def _query_line(self, line: str) -> None:
        """Lines of a QUERY event: settings end in the delimiter on their own line, the statement before one alone."""
        assert self._query is not None
        if line != "/*!*/;":
            if not line.endswith("/*!*/;"):
                self._query.append(line)
            return
        statement = "\n".join(self._query)
        self._query = None
        if self.transaction is not None and statement and not statement.startswith(_TRANSACTIONAL):
            self.transaction.statements.append(statement)


def _literal(line: str) -> str:
    """`###   @6=1.1   ` -> `1.1`; strings end in their quote, so trailing spaces are padding."""
    return line[line.index("=") + 1 :].rstrip(" ")
