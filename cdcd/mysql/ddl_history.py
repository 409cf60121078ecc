"""Which statements changed tables between two places of a binlog: read once, kept, extended."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from cdcd.binlog.position import coordinate
from cdcd.binlog.spans import Place
from cdcd.binlog.touching import Change, Table, changes_columns, pieces_of
from cdcd.mysql.connection import Endpoint
from cdcd.mysql.scan import BinlogScan, Transaction, Watch, unwatched

End = tuple[str, int]
"""Binlog file and offset."""
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class LoggedDdl:
    """A statement that may have changed the columns or the key of a table."""

    file: str
    start: int
    """Where its transaction starts."""
    shown: str
    """The beginning of its text."""
    change: Change

    @property
    def order(self) -> tuple[int, int]:
        return coordinate(self.file, self.start)

    def __str__(self) -> str:
        return f"`{self.shown}` at {self.file}:{self.start}"


class DdlHistory:
    """The DDL of one stretch of a source's binlog, which grows with what is asked for."""

    def __init__(self, endpoint: Endpoint, watch: Watch = unwatched) -> None:
        self._endpoint = endpoint
        self._watch = watch
        self._from: End | None = None
        self._until: End = ("", 0)
        self._files: dict[str, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._all: list[LoggedDdl] = []
        self._by_word: dict[str, list[LoggedDdl]] = {}
        self._drops: list[LoggedDdl] = []

    def first(self, table: Table, start: Place, end: End) -> LoggedDdl | None:
        """The first that may have touched the table, of transactions that start after `start`, a transaction's start, and
        before `end`.

        Raises what BinlogScan raises.
        """
        low, high = start.order, coordinate(*end)
        if high <= low:
            return None
        self._cover((start.file, start.offset), end)
        touching = (ddl for ddl in self._candidates(table) if low < ddl.order < high and ddl.change.may_touch(table))
        return min(touching, key=lambda ddl: ddl.order, default=None)

    def leads_to(self, start: Place, place: Place) -> bool:
        """Whether reading on from `start` comes to `place`: not so after the binlog was begun anew under the same names."""
        self._cover((start.file, start.offset), (place.file, place.offset))
        return self._files.get(place.file) == place.created

    def _candidates(self, table: Table) -> Iterable[LoggedDdl]:
        pieces = pieces_of(table[1])
        if not pieces:
            return self._all
        return [*self._by_word.get(max(pieces, key=len), ()), *self._drops]

    def _cover(self, start: End, end: End) -> None:
        if self._from is None or not coordinate(*self._from) <= coordinate(*start) <= coordinate(*self._until):
            self._from = self._until = start
            self._clear()
        if coordinate(*self._until) < coordinate(*end):
            self._extend(end)

    def _extend(self, end: End) -> None:
        scan = BinlogScan(self._endpoint, *self._until, watch=self._watch)
        with closing(scan.transactions()) as transactions:
            for transaction in transactions:
                self._files[transaction.file] = scan.created
                for ddl in _ddl_of(transaction):
                    self._add(ddl)
                self._until = transaction.file, transaction.end
                if coordinate(*self._until) >= coordinate(*end):
                    return
        self._until = max(scan.place, end, key=lambda place: coordinate(*place))

    def _add(self, ddl: LoggedDdl) -> None:
        self._all.append(ddl)
        if ddl.change.drops_database:
            self._drops.append(ddl)
        for word in ddl.change.words:
            self._by_word.setdefault(word, []).append(ddl)


def _ddl_of(transaction: Transaction) -> Iterator[LoggedDdl]:
    for statement in transaction.statements:
        sql = statement.sql.decode("utf-8", "backslashreplace")
        if changes_columns(sql):
            text = " ".join(sql.split())
            shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
            change = Change(sql, statement.database, statement.databases)
            yield LoggedDdl(transaction.file, transaction.start, shown, change)
