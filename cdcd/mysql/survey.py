"""What a source says of everything that may keep cdcd from reading it well, for the preflight."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cdcd.errors import Finding, FindingError
from cdcd.mysql.clock import clock_offset
from cdcd.mysql.connection import Connection, Row
from cdcd.mysql.server import check_grants, read_version
from cdcd.mysql.version import Version

JSON_BYTES = 1 << 30
"""Of a JSON document at most (max_allowed_packet's limit)."""
MOST_TABLES = 500
"""Looked at one by one on a server without a data dictionary, which opens the files of every table that it is asked for at
once; of an instance with more the first."""
_OWN = ("information_schema", "mysql", "performance_schema", "sys")

_SESSION = """
SET @cdcd = 1 /*!50708 , SESSION max_execution_time = 30000 */ /*M!100101 , SESSION max_statement_time = 30 */
/*!80030 , SESSION show_gipk_in_create_table_and_information_schema = ON */
"""
"""A question that takes long ends on the server too, before we stop waiting for it; and hidden primary keys are keys."""
_TABLES = """
SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
"""
_KEYED = """
SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLE_CONSTRAINTS
WHERE {} AND CONSTRAINT_TYPE = 'PRIMARY KEY'
"""
_LARGE = """
SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.COLUMNS WHERE {} GROUP BY TABLE_SCHEMA, TABLE_NAME
HAVING SUM(IF(DATA_TYPE = 'json', %s, COALESCE(CHARACTER_OCTET_LENGTH, 0))) > %s
"""
_CASCADES = """
SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME,
       UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {}
"""
_LOOSE_KEYS = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME
FROM information_schema.COLUMNS WHERE {} AND COLUMN_KEY = 'PRI' AND RIGHT(COLLATION_NAME, 3) = '_ci'
"""

_Table = tuple[str, str]


@dataclass(frozen=True, slots=True)
class OtherReader:
    """A registered replica."""

    server_id: int
    host: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Cascade:
    """A foreign key by which the server changes rows of `table` itself."""

    table: str
    name: str
    parent: str
    rules: str
    """`ON DELETE CASCADE`."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A text column of a primary key whose collation takes different texts for equal."""

    table: str
    column: str
    declared: str
    charset: str
    collation: str


@dataclass(frozen=True, slots=True)
class MysqlFacts:
    """One reading. Tables are those that the definition includes, as `database.table`."""

    source: str
    version: tuple[int, ...]
    product: str
    missing: tuple[Finding, ...]
    """Privileges."""
    settings: dict[str, str] = field(default_factory=dict)
    """Global variables."""
    server_id: int = 0
    """Under which this instance reads."""
    server_uuid: str = ""
    statements: bool = False
    """Whether rows that are logged as statements may be published as those."""
    lag_seconds: float | None = None
    """Of the instance, where it runs."""
    readers: tuple[OtherReader, ...] = ()
    filters: str = ""
    """Databases that the server logs, or does not log, by its own settings."""
    tables: tuple[str, ...] = ()
    without_key: tuple[str, ...] = ()
    large: tuple[str, ...] = ()
    """Tables whose rows may be larger than a message."""
    message_bytes: int = 0
    cascades: tuple[Cascade, ...] = ()
    loose_keys: tuple[KeyColumn, ...] = ()
    clock_seconds: float = 0.0
    """By which its clock is ahead of this host's."""
    clock_uncertainty: float = 0.0

    def value(self, name: str) -> str:
        """Of a global variable, in capitals; empty where the server knows none."""
        return self.settings.get(name, "").upper()

    def number(self, name: str) -> int:
        """0 where the server knows none."""
        return int(float(self.settings.get(name) or 0))

    def change(self, name: str, value: str) -> str:
        """The statement that sets it, for good where it can."""
        persist = self.product == "MySQL" and self.version >= (8,)
        return f"SET {'PERSIST' if persist else 'GLOBAL'} {name} = {value};"


class Survey:
    """Reads the facts, all by SELECT and SHOW. Raises FindingError where the source does not answer."""

    def __init__(self, connection: Connection, wanted: Callable[[str, str], bool], message_bytes: int) -> None:
        self._connection = connection
        self._wanted = wanted
        self._message_bytes = message_bytes

    def read(
        self, server_id: int, server_uuid: str, *, statements: bool = False, lag_seconds: float | None = None
    ) -> MysqlFacts:
        """Who the instance is to the source, whether it publishes statements as they are, how far it is behind."""
        connection, version = self._connection, read_version(self._connection)
        connection.rows(_SESSION)
        missing, clock = tuple(check_grants(connection)), clock_offset(connection)
        settings = {str(name).lower(): str(value) for name, value in connection.rows("SHOW GLOBAL VARIABLES")}
        tables = sorted(
            (database, table)
            for database, table in connection.rows(_TABLES)
            if database not in _OWN and self._wanted(database, table)
        )
        examined = _Examined(connection, version, tables)
        return MysqlFacts(
            source=str(connection.endpoint),
            version=version.numbers,
            product=version.product,
            missing=missing,
            settings=settings,
            server_id=server_id,
            statements=statements,
            lag_seconds=lag_seconds,
            server_uuid=server_uuid,
            readers=self._readers(version.replicas_statement or "SHOW SLAVE HOSTS"),
            filters=self._filters(version.end_statement),
            tables=_named(tables),
            without_key=examined.without_key(),
            large=examined.large(self._message_bytes),
            message_bytes=self._message_bytes,
            cascades=tuple(examined.cascades()),
            loose_keys=tuple(examined.loose_keys()),
            clock_seconds=clock.seconds,
            clock_uncertainty=clock.uncertainty,
        )

    def _readers(self, statement: str) -> tuple[OtherReader, ...]:
        rows = self._unless_denied(statement)
        return tuple(
            OtherReader(int(row["server_id"]), str(row.get("host") or ""), str(row.get("replica_uuid", row.get("slave_uuid", ""))))
            for row in rows
        )  # fmt: skip

    def _unless_denied(self, statement: str) -> list[dict[str, Any]]:
        """No rows where the right is missing: that is said among `missing`."""
        try:
            return self._connection.records(statement)
        except FindingError as error:
            if error.finding.code == "privilege-missing":
                return []
            raise

    def _filters(self, statement: str) -> str:
        rows = self._unless_denied(statement)
        named = {name: str(rows[0].get(name) or "") for name in ("binlog_do_db", "binlog_ignore_db")} if rows else {}
        return ", ".join(f"{name}={value}" for name, value in named.items() if value)


class _Examined:
    """What information_schema says of some tables."""

    def __init__(self, connection: Connection, version: Version, tables: list[_Table]) -> None:
        self._connection = connection
        self._at_once = version.has_data_dictionary
        self._tables = tables if self._at_once else tables[:MOST_TABLES]

    def without_key(self) -> tuple[str, ...]:
        keyed = {(database, table) for database, table in self._rows(_KEYED)}
        return _named(table for table in self._tables if table not in keyed)

    def large(self, message_bytes: int) -> tuple[str, ...]:
        """Those whose rows may be larger."""
        return _named((database, table) for database, table in self._rows(_LARGE, JSON_BYTES, message_bytes))

    def cascades(self) -> Iterator[Cascade]:
        rows = self._rows(_CASCADES, database="CONSTRAINT_SCHEMA")
        for schema, table, name, parent_schema, parent, on_update, on_delete in rows:
            acts = [
                f"ON {event} {rule}"
                for event, rule in (("UPDATE", on_update), ("DELETE", on_delete))
                if rule in {"CASCADE", "SET NULL", "SET DEFAULT"}
            ]
            if acts:
                yield Cascade(f"{schema}.{table}", name, f"{parent_schema}.{parent}", " ".join(acts))

    def loose_keys(self) -> Iterator[KeyColumn]:
        for schema, table, column, declared, charset, collation in self._rows(_LOOSE_KEYS):
            yield KeyColumn(f"{schema}.{table}", column, _text(declared), charset, collation)

    def _rows(self, query: str, *arguments: object, database: str = "TABLE_SCHEMA") -> list[Row]:
        """Rows about the tables, which begin with database and table. `query`: with `{}` where they are chosen;
        `database`: its column for that.
        """
        if self._at_once:
            rows = self._connection.rows(query.format(f"{database} NOT IN {_OWN}"), arguments)
            tables = frozenset(self._tables)
            return [row for row in rows if row[:2] in tables]
        one = query.format(f"{database} = %s AND TABLE_NAME = %s")
        return [row for table in self._tables for row in self._connection.rows(one, (*table, *arguments))]


def _named(tables: Iterable[_Table]) -> tuple[str, ...]:
    return tuple(sorted(f"{database}.{table}" for database, table in tables))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
