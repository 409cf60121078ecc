"""Tables as information_schema has them, each with a place in the binlog up to which that is known to be so."""

import zlib
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from cdcd.binlog.position import coordinate
from cdcd.binlog.spans import Place
from cdcd.binlog.touching import Table
from cdcd.errors import FindingError
from cdcd.mysql.connection import Connection, Endpoint, connect, quote_identifier
from cdcd.mysql.findings import error_code
from cdcd.mysql.server import read_end, read_version
from cdcd.mysql.table_definition import TableDefinition, definition_of, with_periods
from cdcd.mysql.version import Version

MOST_AHEAD = 256
"""Tables read with one question. The first questions are for one, two, four ... tables: most instances need few."""
_NO_SUCH_TABLE = frozenset({1049, 1146})

_SHOW_GENERATED_KEYS = "SET /*!80030 SESSION show_gipk_in_create_table_and_information_schema = ON, */ @cdcd = 1"
"""A server may hide generated invisible primary keys from information_schema; the binlog never does."""
_COLUMNS = """
SELECT table_name AS owner, column_name AS name, data_type AS data, column_type AS declared,
       character_octet_length AS octets, numeric_precision AS digits, numeric_scale AS scale,
       datetime_precision AS fraction, collation_name AS collation, is_nullable AS nullable, extra AS extra,
       VERSION() LIKE '%%MariaDB%%' AS mariadb
FROM information_schema.columns WHERE table_schema = %s AND table_name IN ({}) ORDER BY table_name, ordinal_position
"""
_KEYS = """
SELECT table_name, column_name FROM information_schema.statistics
WHERE table_schema = %s AND table_name IN ({}) AND index_name = 'PRIMARY' ORDER BY table_name, seq_in_index
"""
_COLLATIONS = """
SELECT collation_name, id FROM information_schema.collations WHERE id IS NOT NULL
/*M!101001 UNION SELECT full_collation_name, id FROM information_schema.collation_character_set_applicability */
"""
"""MariaDB has had collations that are shared by character sets since 10.10.1: columns show full names."""
_HIDDEN_PERIODS = """
SELECT 1 FROM information_schema.tables AS t
WHERE table_schema = %s AND table_name = %s AND table_type = 'SYSTEM VERSIONED' /*M! AND NOT EXISTS (
  SELECT 1 FROM information_schema.columns AS c
  WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name AND generation_expression = 'ROW START') */
"""
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'"

_End = tuple[str, int]
_Stretch = tuple[_End, _End]
"""Ends of the binlog read before a reading and after it."""
_Answer = TypeVar("_Answer")
_Rows = tuple[list[dict[str, Any]], list[str]]
"""Of a table: records of its columns, names of its key's columns."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One table as it was when it was read."""

    definition: TableDefinition | None
    """None: there was no such table."""
    seen_at: _End
    """An end of the binlog read afterwards: every DDL that the definition shows is before that."""


class Readings:
    """Of one server. What is asked for is given away, what was read beside it is kept in little room."""

    def __init__(self, endpoint: Endpoint, wanted: Callable[[str, str], bool]) -> None:
        self._endpoint = endpoint
        self._wanted = wanted
        self._connection: Connection | None = None
        self.version = Version("")
        """Of the server, once it was asked for anything."""
        self._collations: dict[str, int] = {}
        self._ahead = 1
        self._kept: dict[Table, tuple[bytes, _Stretch]] = {}
        self._unread: dict[str, list[str]] = {}

    def take(self, table: Table) -> Reading:
        """As it is now. Raises FindingError, also where the account may not SELECT from the table."""
        return self._asked(lambda: self._read(table))

    def kept(self, table: Table, place: Place) -> Reading | None:
        """What was read ahead, once: for an event that was in the binlog already when the reading began.

        It could only be logged after every statement that had changed the table before was done, so the reading shows
        them all. Of one that came later that is not certain: a source may send a statement before its effect can be seen
        (semi-synchronous replication, AFTER_SYNC).
        """
        if table not in self._kept:
            return None
        packed, (began_at, seen_at) = self._kept.pop(table)
        if place.order >= coordinate(*began_at):
            return None
        rows, key = orjson.loads(zlib.decompress(packed))
        return Reading(definition_of(rows, self._collations, key), seen_at)

    def oldest_file(self) -> str:
        """The first of the binlog files that the source still has. Raises FindingError."""
        return self._asked(self._read_oldest)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # ---------------------------------------------------------------- asking

    def _asked(self, question: Callable[[], _Answer]) -> _Answer:
        """Over the connection that there is; once more over a new one where that was lost meanwhile."""
        if self._connection is not None:
            try:
                return question()
            except FindingError as error:
                self.close()
                if error.finding.code != "source-lost":
                    raise
        self._connection = self._connected()
        return question()

    def _connected(self) -> Connection:
        connection = connect(self._endpoint)
        try:
            connection.rows(_SHOW_GENERATED_KEYS)
            self.version = read_version(connection)
            self._collations = dict(connection.rows(_COLLATIONS))
        except BaseException:
            connection.close()
            raise
        return connection

    def _read_oldest(self) -> str:
        assert self._connection is not None
        # SHOW BINARY LOGS opens all files.
        first = self._connection.row("SHOW BINLOG EVENTS LIMIT 1")
        assert first is not None  # there is a binlog, as it is being read
        return str(first[0])

    def _read(self, table: Table) -> Reading:
        assert self._connection is not None
        connection = self._connection
        database, name = table
        names = [name, *self._beside(table)]
        began_at = read_end(connection, self.version)
        found = self._rows(connection, database, names)
        if name not in found:
            _refuse_unreadable(connection, database, name)
        hidden = connection.rows(_HIDDEN_PERIODS, table)
        seen_at = read_end(connection, self.version)
        asked = found.pop(name, None)
        for other, rows in found.items():
            self._kept[database, other] = zlib.compress(orjson.dumps(rows), 1), (began_at, seen_at)
        if asked is None:
            return Reading(None, seen_at)
        definition = definition_of(asked[0], self._collations, asked[1])
        return Reading(with_periods(definition) if hidden else definition, seen_at)

    def _rows(self, connection: Connection, database: str, names: list[str]) -> dict[str, _Rows]:
        marks = ", ".join(["%s"] * len(names))
        found: dict[str, _Rows] = {}
        for row in connection.records(_COLUMNS.format(marks), (database, *names)):
            found.setdefault(row.pop("owner"), ([], []))[0].append(row)
        for owner, column in connection.rows(_KEYS.format(marks), (database, *names)):
            found.setdefault(owner, ([], []))[1].append(column)
        if all(_agree(*rows) for rows in found.values()):
            return found
        return self._rows(connection, database, names)  # a table was changed between the two questions

    def _beside(self, table: Table) -> list[str]:
        """Names of further tables of its database, those after it first; each one only once."""
        database, name = table
        ahead, self._ahead = self._ahead - 1, min(MOST_AHEAD, self._ahead * 2)
        if not ahead or not self.version.has_data_dictionary:
            return []
        unread = self._unread.get(database)
        if unread is None:
            unread = self._unread[database] = self._listed(database)
        at = bisect_left(unread, name)
        at += unread[at : at + 1] == [name]
        beside = unread[at : at + ahead]
        del unread[at : at + ahead]
        return beside

    def _listed(self, database: str) -> list[str]:
        assert self._connection is not None
        return sorted(name for (name,) in self._connection.rows(_TABLES, (database,)) if self._wanted(database, name))


def _agree(records: list[dict[str, Any]], key: list[str]) -> bool:
    return {record["name"] for record in records}.issuperset(key)


def _refuse_unreadable(connection: Connection, database: str, table: str) -> None:
    """information_schema hides what an account may not read, so ask for the table. Raises FindingError for a refusal."""
    where = f"{quote_identifier(database)}.{quote_identifier(table)}"
    try:
        connection.rows(f"SELECT 1 FROM {where} LIMIT 0")  # noqa: S608 - quoted the line before
    except FindingError as error:
        if error_code(error.__cause__) not in _NO_SUCH_TABLE:
            raise
