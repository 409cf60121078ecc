"""The five workloads: what is in the binlog. Rows are made inside the server, so that preparing takes seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pymysql.cursors import Cursor

from deploy.rig.source import BinlogPoint, Source

_FOUR = """CREATE TABLE bulk4 (
    id BIGINT PRIMARY KEY, k INT NOT NULL, c VARCHAR(255) NOT NULL, ts DATETIME(6) NOT NULL)"""
_THIRTEEN = """CREATE TABLE bulk13 (
    id BIGINT UNSIGNED PRIMARY KEY, customer INT NOT NULL, product INT UNSIGNED NOT NULL, sku VARCHAR(32) NOT NULL,
    quantity SMALLINT NOT NULL, price DECIMAL(12,2) NOT NULL, weight DOUBLE NOT NULL, created DATETIME(6) NOT NULL,
    changed TIMESTAMP NOT NULL, day DATE NOT NULL, note TEXT NULL, state ENUM('new','paid','sent','closed') NOT NULL,
    email VARCHAR(80) NOT NULL)"""

_VALUES_FOUR = """{x}, {x} MOD 5003, RPAD(SHA2({x}, 512), 145, 'x'), '2026-11-01 00:00:00.123456' + INTERVAL {x} MOD 86400 SECOND"""
_VALUES_THIRTEEN = """{x}, {x} MOD 90001, {x} MOD 977, CONCAT('SKU-', LPAD({x}, 12, '0')), {x} MOD 9 + 1,
    {x} MOD 100000 / 100 + 0.05, {x} / 7, '2026-11-01 00:00:00.123456' + INTERVAL {x} MOD 86400 SECOND,
    '2026-11-01 00:00:00' + INTERVAL {x} MOD 86400 SECOND, '2026-11-01' + INTERVAL ({x} MOD 28) DAY,
    IF({x} MOD 3, CONCAT('note ', LEFT(SHA2({x}, 256), 40)), NULL), {x} MOD 4 + 1, CONCAT('user', {x}, '@example.org')"""
"""Values of the row number `x`."""

_SINGLES = """CREATE PROCEDURE singles (IN x BIGINT, IN last BIGINT)
BEGIN
    WHILE x <= last DO
        INSERT INTO {table} VALUES ({values});
        SET x = x + 1;
    END WHILE;
END"""

_TABLES = {"bulk4": (_FOUR, _VALUES_FOUR), "bulk13": (_THIRTEEN, _VALUES_THIRTEEN)}
_MOST_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One workload."""

    name: str
    table: str
    rows: int
    rows_per_transaction: int

    @property
    def transactions(self) -> int:
        return -(-self.rows // self.rows_per_transaction)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Row changes of each kind of case."""

    bulk: int = 1_000_000
    oltp: int = 200_000
    huge: int = 2_000_000


def all_cases(sizes: Sizes) -> list[Case]:
    return [
        Case("bulk4", "bulk4", sizes.bulk, 1000),
        Case("bulk13", "bulk13", sizes.bulk * 6 // 10, 1000),
        Case("oltp4", "bulk4", sizes.oltp, 1),
        Case("oltp13", "bulk13", sizes.oltp, 1),
        Case("huge", "bulk4", sizes.huge, sizes.huge),
    ]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case whose data lies in the binlog from `start` on, as its last content."""

    case: Case
    database: str
    start: BinlogPoint
    binlog_bytes: int


@contextmanager
def prepared(source: Source, case: Case) -> Iterator[Prepared]:
    """The case's data in binlog files of its own; older files are purged, the tables dropped afterwards."""
    database = f"bench_{case.name}"
    create, values = _TABLES[case.table]
    source.run(f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}")
    with source.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute(create)
        _numbers(cursor, min(max(case.rows_per_transaction, 1), _MOST_AT_ONCE))
        cursor.execute("FLUSH BINARY LOGS")
        start = source.end_of_binlog()
        cursor.execute(f"PURGE BINARY LOGS TO '{start.file}'")
        cursor.execute("SET SESSION sql_log_bin = 1")
        _fill(cursor, case, values)
    yield Prepared(case, database, start, _bytes_after(source, start))
    with source.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute(f"DROP DATABASE {database}")


def _numbers(cursor: Cursor, count: int) -> None:
    cursor.execute("CREATE TABLE numbers (n INT PRIMARY KEY)")
    cursor.execute("SET SESSION cte_max_recursion_depth = %s", (count + 1,))
    cursor.execute(
        "INSERT INTO numbers WITH RECURSIVE s (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < %s)"
        " SELECT i FROM s",
        (count,),
    )


def _fill(cursor: Cursor, case: Case, values: str) -> None:
    if case.rows_per_transaction == 1:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute(_SINGLES.format(table=case.table, values=values.format(x="x")))
        cursor.execute("SET SESSION sql_log_bin = 1")
        cursor.execute("CALL singles(1, %s)", (case.rows,))
        return
    for base in range(1, case.rows + 1, case.rows_per_transaction):
        count = min(case.rows_per_transaction, case.rows + 1 - base)
        row = values.format(x=f"({base} + n)")
        cursor.execute(f"INSERT INTO {case.table} SELECT {row} FROM numbers WHERE n < {count}")


def _bytes_after(source: Source, start: BinlogPoint) -> int:
    with source.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW BINARY LOGS")
        sizes = {str(row[0]): int(row[1]) for row in cursor.fetchall()}
    return sum(size for file, size in sizes.items() if file >= start.file) - start.offset
