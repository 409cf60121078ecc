"""Which statements changed tables between two places of a binlog: read once, kept, extended."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from cdcd.binlog.position import coordinate
from cdcd.binlog.statements import StatementClass, classify, ddl_kind, may_touch
from cdcd.mysql.connection import Endpoint
from cdcd.mysql.scan import BinlogScan, Transaction, Watch, unwatched

Place = tuple[str, int]
"""Binlog file and offset."""
_LEAVES_COLUMNS = frozenset({"TRUNCATE", "CREATE INDEX"})


@dataclass(frozen=True, slots=True)
class LoggedDdl:
    """A statement that may have changed the columns or the key of a table."""

    file: str
    start: int
    """Where its transaction starts."""
    database: str
    """The session's default database."""
    databases: tuple[str, ...] | None
    sql: str

    def may_touch(self, database: str, table: str) -> bool:
        return may_touch(self.sql, self.database, self.databases, (database, table))

    def __str__(self) -> str:
        text = " ".join(self.sql.split())
        return f"`{text if len(text) <= 120 else text[:120] + '...'}` at {self.file}:{self.start}"


class DdlHistory:
    """The DDL of one stretch of a source's binlog, which grows with what is asked for."""

    def __init__(self, endpoint: Endpoint, watch: Watch = unwatched) -> None:
        self._endpoint = endpoint
        self._watch = watch
        self._from: Place | None = None
        self._until: Place = ("", 0)
        self._found: list[LoggedDdl] = []

    def between(self, start: Place, end: Place) -> Iterator[LoggedDdl]:
        """DDL of transactions that start after `start`, a transaction's start, up to `end` at least.

        Raises what BinlogScan raises.
        """
        if self._from is None or not coordinate(*self._from) <= coordinate(*start) <= coordinate(*self._until):
            self._from = self._until = start
            self._found = []
        if coordinate(*self._until) < coordinate(*end):
            self._extend(end)
        return (ddl for ddl in self._found if coordinate(ddl.file, ddl.start) > coordinate(*start))

    def _extend(self, end: Place) -> None:
        scan = BinlogScan(self._endpoint, *self._until, watch=self._watch)
        with closing(scan.transactions()) as transactions:
            for transaction in transactions:
                self._found += _ddl_of(transaction)
                self._until = transaction.file, transaction.end
                if coordinate(*self._until) >= coordinate(*end):
                    return
        self._until = max(scan.place, end, key=lambda place: coordinate(*place))


def _ddl_of(transaction: Transaction) -> Iterator[LoggedDdl]:
    for statement in transaction.statements:
        sql = statement.sql.decode("utf-8", "backslashreplace")
        if classify(sql) is StatementClass.DDL and ddl_kind(sql) not in _LEAVES_COLUMNS:
            yield LoggedDdl(transaction.file, transaction.start, statement.database, statement.databases, sql)
