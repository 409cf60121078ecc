"""What a source says of everything that may keep cdcd from reading it well, for the preflight."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cdcd.errors import Finding, FindingError
from cdcd.mysql.clock import clock_offset
from cdcd.mysql.connection import Connection
from cdcd.mysql.server import check_grants, read_version

JSON_BYTES = 1 << 30
"""Of a JSON document at most (max_allowed_packet's limit)."""
_OWN = frozenset({"mysql", "sys", "information_schema", "performance_schema"})


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
        missing, clock = tuple(check_grants(connection)), clock_offset(connection)
        settings = {str(name).lower(): str(value) for name, value in connection.rows("SHOW GLOBAL VARIABLES")}
        tables = self._of(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'"
        )
        keyed = self._of(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLE_CONSTRAINTS"
            " WHERE CONSTRAINT_TYPE = 'PRIMARY KEY'"
        )
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
            tables=tables,
            without_key=tuple(table for table in tables if table not in set(keyed)),
            large=self._large(),
            message_bytes=self._message_bytes,
            cascades=self._cascades(),
            loose_keys=self._loose_keys(),
            clock_seconds=clock.seconds,
            clock_uncertainty=clock.uncertainty,
        )

    def _of(self, query: str, *arguments: object) -> tuple[str, ...]:
        """`database.table` of the wanted ones among the rows."""
        rows = self._connection.rows(query, arguments)
        return tuple(sorted(f"{row[0]}.{row[1]}" for row in rows if self._of_interest(row[0], row[1])))

    def _of_interest(self, database: str, table: str) -> bool:
        return database not in _OWN and self._wanted(database, table)

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

    def _large(self) -> tuple[str, ...]:
        return self._of(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.COLUMNS"
            " GROUP BY TABLE_SCHEMA, TABLE_NAME"
            " HAVING SUM(IF(DATA_TYPE = 'json', %s, COALESCE(CHARACTER_OCTET_LENGTH, 0))) > %s",
            JSON_BYTES,
            self._message_bytes,
        )

    def _cascades(self) -> tuple[Cascade, ...]:
        rows = self._connection.rows(
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME,"
            " UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS"
        )
        found = []
        for schema, table, name, parent_schema, parent, on_update, on_delete in rows:
            acts = [
                f"ON {event} {rule}"
                for event, rule in (("UPDATE", on_update), ("DELETE", on_delete))
                if rule in {"CASCADE", "SET NULL", "SET DEFAULT"}
            ]
            if acts and self._of_interest(schema, table):
                found.append(Cascade(f"{schema}.{table}", name, f"{parent_schema}.{parent}", " ".join(acts)))
        return tuple(found)

    def _loose_keys(self) -> tuple[KeyColumn, ...]:
        rows = self._connection.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME"
            " FROM information_schema.COLUMNS WHERE COLUMN_KEY = 'PRI' AND COLLATION_NAME LIKE '%\\_ci'"
        )
        return tuple(
            KeyColumn(f"{schema}.{table}", column, _text(declared), charset, collation)
            for schema, table, column, declared, charset, collation in rows
            if self._of_interest(schema, table)
        )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
