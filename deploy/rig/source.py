"""A MySQL server as the proofs see it: connections, its own text of a table, and its binlog tool."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.converters import encoders
from pymysql.cursors import Cursor

_NO_DECODERS: dict[int | type[Any], Callable[[Any], str] | Callable[[str], Any]] = dict(encoders.items())
"""PyMySQL's conversions without those of results: values arrive as MySQL printed them."""


@dataclass(frozen=True, slots=True)
class BinlogPoint:
    """A place in a server's binlog: `offset` bytes into `file`, between transactions."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column as information_schema declares it."""

    name: str
    declared: str
    """COLUMN_TYPE: `bigint unsigned`, `enum('a','b')`."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's layout at the time it was read."""

    database: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]
    """Indexes of the primary key's columns, in key order."""

    @property
    def full_name(self) -> str:
        return f"{self.database}.{self.name}"


@dataclass(frozen=True, slots=True)
class Source:
    """A server under test and the account that loads it."""

    host: str
    port: int
    user: str
    password: str
    mysqlbinlog: Path
    mariadb: bool = False

    def connect(self, database: str | None = None, *, autocommit: bool = True) -> "Connection[Cursor]":
        """An ordinary connection in UTC; times out rather than hang a test."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=database,
            autocommit=autocommit,
            read_timeout=300,
            write_timeout=300,
            init_command="SET time_zone='+00:00'",
        )

    def run(self, *statements: str, database: str | None = None) -> None:
        """Each statement by itself, committed at once."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def value(self, query: str) -> str:
        """First column of the first row, as text."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
        assert row is not None, query
        return str(row[0])

    def end_of_binlog(self) -> BinlogPoint:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW MASTER STATUS" if self.mariadb else "SHOW BINARY LOG STATUS")
            row = cursor.fetchone()
        assert row is not None, "the server writes no binlog"
        return BinlogPoint(str(row[0]), int(row[1]))

    def executed(self) -> str:
        """The server's GTID set on one line; of MariaDB the last GTID of each domain."""
        return self.value(f"SELECT @@GLOBAL.{'gtid_binlog_pos' if self.mariadb else 'gtid_executed'}").replace("\n", "")

    def has_executed_only(self, known: str) -> bool:
        """Whether `known` holds everything that the server has executed by now."""
        if self.mariadb:
            return self.executed() == known
        return self.value(f"SELECT GTID_SUBSET(@@GLOBAL.gtid_executed, '{known}')") == "1"

    def tables(self, database: str) -> list[Table]:
        """Layouts of all tables of a database."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, column_type FROM information_schema.columns"
                " WHERE table_schema = %s ORDER BY table_name, ordinal_position",
                (database,),
            )
            columns: dict[str, list[Column]] = {}
            for table, name, declared in cursor.fetchall():
                text = declared.decode() if isinstance(declared, bytes) else str(declared)
                columns.setdefault(table, []).append(Column(name, text))
            cursor.execute(
                "SELECT table_name, column_name FROM information_schema.key_column_usage"
                " WHERE table_schema = %s AND constraint_name = 'PRIMARY' ORDER BY table_name, ordinal_position",
                (database,),
            )
            keys: dict[str, list[str]] = {}
            for table, name in cursor.fetchall():
                keys.setdefault(table, []).append(name)
        return [_table(database, name, tuple(found), keys.get(name, [])) for name, found in columns.items()]

    def contents(self, table: Table) -> dict[tuple[str | None, ...], tuple[str | None, ...]]:
        """All rows by primary key, each value as MySQL itself prints it (no client conversion)."""
        names = ", ".join(f"`{column.name}`" for column in table.columns)
        connection = pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            conv=_NO_DECODERS,
            init_command="SET time_zone='+00:00'",
        )
        rows: dict[tuple[str | None, ...], tuple[str | None, ...]] = {}
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT {names} FROM `{table.database}`.`{table.name}`")  # noqa: S608 - names of our own tables
            for raw in cursor.fetchall():
                row = tuple(value.decode() if isinstance(value, bytes) else value for value in raw)
                rows[tuple(row[index] for index in table.key)] = row
        return rows


def _table(database: str, name: str, columns: tuple[Column, ...], key: list[str]) -> Table:
    names = [column.name for column in columns]
    return Table(database, name, columns, tuple(names.index(column) for column in key))
