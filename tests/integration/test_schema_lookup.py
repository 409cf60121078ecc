"""Names for table maps without them: right where they can be known, refused where not. Server: metadata MINIMAL."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder
from cdcd.binlog.schema import TableSchema
from cdcd.binlog.spans import Place
from cdcd.config.start import StartFile
from cdcd.config.tables import TableFilter
from cdcd.errors import Finding, FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.connection import Endpoint
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.schema import SchemaLookup
from cdcd.worker.tail import Tail
from tests.reading import binlog_end, endpoint_of, opened
from tests.servers import MysqlFactory, MysqlServer

EVERY_TYPE = r"""
CREATE TABLE every_type (
  ti TINYINT, tu TINYINT UNSIGNED, tb BOOL, si SMALLINT, mi MEDIUMINT UNSIGNED, i INT(5) ZEROFILL, bi BIGINT, bu BIGINT UNSIGNED,
  f FLOAT, f2 FLOAT(7,3), f3 FLOAT(30), d DOUBLE, d2 DOUBLE(8,2) UNSIGNED, de DECIMAL(10,2), du DECIMAL(65,30) UNSIGNED, b1 BIT, b9 BIT(9), b64 BIT(64),
  da DATE, t TIME, t6 TIME(6), dt DATETIME, dt3 DATETIME(3), ts TIMESTAMP NULL, ts2 TIMESTAMP(2) NULL, y YEAR,
  c CHAR(3), c255 CHAR(255), cl CHAR(9) CHARACTER SET latin1, bn BINARY(7), v VARCHAR(20), vl VARCHAR(300) CHARACTER SET latin1,
  vj VARCHAR(20) CHARACTER SET sjis, vk VARCHAR(20) COLLATE utf8mb4_bin, vb VARBINARY(300), nc NCHAR(4), tt TINYTEXT, tx TEXT, mt MEDIUMTEXT,
  lt LONGTEXT, xu TEXT CHARACTER SET utf16, tbl TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB, j JSON,
  e ENUM('a','it''s','c\\d','n\nl','ü') CHARACTER SET latin1, s SET('p','q','r;'), s9 SET('1','2','3','4','5','6','7','8','9'),
  g GEOMETRY, p POINT NOT NULL, ls LINESTRING, pg POLYGON, mp MULTIPOINT, ml MULTILINESTRING, mpg MULTIPOLYGON, gc GEOMETRYCOLLECTION,
  ve VECTOR(7), gv INT GENERATED ALWAYS AS (ti + 1) VIRTUAL, gs INT GENERATED ALWAYS AS (ti + 2) STORED, hidden VARCHAR(5) INVISIBLE,
  id INT NOT NULL, `ütf` INT, `back``tick` INT,
  PRIMARY KEY (v(5), id), KEY (de), KEY ((ti + 3))
)"""
EVERY_TYPE_ROW = "INSERT INTO every_type (v, id, p) VALUES ('x', 1, POINT(1, 2))"


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server(binlog_row_metadata="MINIMAL")


@pytest.fixture
def database(server: MysqlServer) -> Iterator[str]:
    with server.database() as name:
        yield name


@dataclass(frozen=True)
class Logged:
    """A table map as it was read from the binlog."""

    schema: TableSchema
    place: Place

    @property
    def file(self) -> str:
        return self.place.file

    @property
    def offset(self) -> int:
        return self.place.offset


def log(server: MysqlServer, database: str, *statements: str) -> Logged:
    """Run statements and read back the last table map of that database."""
    file, offset = binlog_end(server)
    server.run(*statements, database=database)
    found: list[Logged] = []
    decoder = Decoder(
        lambda schema: found.append(
            Logged(schema, Place(decoder.file, decoder.transaction_start, decoder.file_created))
        )
    )
    with opened(endpoint_of(server), DumpRequest(file=file, offset=offset, non_blocking=True)) as dump:
        while (reason := decoder.decode(0)) != END:
            if reason == NEED_BYTES:
                decoder.feed(dump.read(1.0))
            elif reason == CONTROL:
                dump.show(decoder.control)
    logged = [each for each in found if each.schema.database == database][-1]
    assert not logged.schema.named
    assert all(column.name == "" for column in logged.schema.columns)
    return logged


def look_up(server: MysqlServer, logged: Logged) -> TableSchema:
    return SchemaLookup(endpoint_of(server)).names_for(logged.schema, logged.place)


def refused(server: MysqlServer, logged: Logged) -> Finding:
    with pytest.raises(FindingError) as caught:
        look_up(server, logged)
    finding = caught.value.finding
    assert (finding.code, finding.kind) == ("schema-unknown", "operator")
    assert f"{logged.schema.name} at {logged.file}:{logged.offset}" in finding.what
    return finding


def test_every_type(server: MysqlServer, database: str) -> None:
    logged = log(server, database, EVERY_TYPE, EVERY_TYPE_ROW)
    named = look_up(server, logged)
    fields = server.query(f"SHOW FULL COLUMNS FROM {database}.every_type")
    assert [(column.name, column.declared) for column in named.columns] == [(field[0], field[1]) for field in fields]
    assert [named.columns[index].name for index in named.key] == ["v", "id"]
    assert named.named
    assert named.fingerprint == logged.schema.fingerprint
    by_name = {column.name: column for column in named.columns}
    assert by_name["e"].labels == (b"a", b"it's", b"c\\d", b"n\nl", "ü".encode())
    assert by_name["s"].labels == (b"p", b"q", b"r;")
    assert [column.name for column in named.columns if not column.visible] == ["hidden"]
    for before, after in zip(logged.schema.columns, named.columns, strict=True):
        shape = (before.type, before.meta, before.nullable, before.unsigned)
        assert shape == (after.type, after.meta, after.nullable, after.unsigned)


@pytest.mark.parametrize("labels", [255, 256])
def test_long_enum(server: MysqlServer, database: str, labels: int) -> None:
    members = ",".join(f"'m{number}'" for number in range(labels))
    logged = log(server, database, f"CREATE TABLE t (e ENUM({members}))", "INSERT INTO t VALUES ('m7')")
    assert look_up(server, logged).columns[0].labels == tuple(f"m{number}".encode() for number in range(labels))


def test_generated_invisible_primary_key(server: MysqlServer, database: str) -> None:
    logged = log(
        server,
        database,
        "SET sql_generate_invisible_primary_key = ON",
        "CREATE TABLE t (a INT)",
        "INSERT INTO t VALUES (1)",
    )
    for shown in ("OFF", "ON"):
        server.query(f"SET GLOBAL show_gipk_in_create_table_and_information_schema = {shown}")
        named = look_up(server, logged)
        assert [column.name for column in named.columns] == ["my_row_id", "a"]
        assert named.key == (0,)


def test_table_without_key(server: MysqlServer, database: str) -> None:
    logged = log(server, database, "CREATE TABLE t (a INT, UNIQUE (a))", "INSERT INTO t VALUES (1)")
    assert look_up(server, logged).key == ()


def test_the_table_of_create_select(server: MysqlServer, database: str) -> None:
    """The statement stands in the transaction of the rows, before them."""
    logged = log(server, database, "CREATE TABLE t SELECT 1 AS a, 'x' AS b")
    assert [column.name for column in look_up(server, logged).columns] == ["a", "b"]


@pytest.mark.parametrize(
    "harmless",
    [
        "TRUNCATE TABLE t",
        "CREATE INDEX i ON t (a)",
        "ANALYZE TABLE t",
        "CREATE TABLE u (a INT)",
        "INSERT INTO t VALUES (2, 2)",
    ],
)
def test_statements_that_leave_the_columns(server: MysqlServer, database: str, harmless: str) -> None:
    logged = log(server, database, "CREATE TABLE t (a INT, b INT)", "INSERT INTO t VALUES (1, 1)")
    server.run(harmless, database=database)
    assert [column.name for column in look_up(server, logged).columns] == ["a", "b"]


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE t RENAME COLUMN a TO c",),
        ("ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",),
        ("ALTER TABLE t ADD c INT",),
        ("RENAME TABLE t TO old", "CREATE TABLE t (c INT, d INT)"),
        ("DROP TABLE t",),
    ],
)
def test_a_ddl_since_then_refuses(server: MysqlServer, database: str, statements: tuple[str, ...]) -> None:
    """Also where the shape is the same: names would be those of other columns."""
    logged = log(server, database, "CREATE TABLE t (a INT, b INT)", "INSERT INTO t VALUES (1, 1)")
    server.run(*statements, database=database)
    assert statements[0].split(" ")[0] in refused(server, logged).what


def test_a_dropped_database_refuses(server: MysqlServer) -> None:
    with server.database() as database:
        logged = log(server, database, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)")
        server.run("DROP DATABASE " + database, "CREATE DATABASE " + database, f"CREATE TABLE {database}.t (b INT)")
        assert "DROP DATABASE" in refused(server, logged).what


def test_a_change_that_was_not_logged_is_seen_in_the_shape(server: MysqlServer, database: str) -> None:
    logged = log(server, database, "CREATE TABLE t (a INT, b VARCHAR(20))", "INSERT INTO t VALUES (1, 'x')")
    server.run("SET sql_log_bin = OFF", "ALTER TABLE t MODIFY b VARCHAR(50)", database=database)
    what = refused(server, logged).what
    assert (
        f"{database}.t at {logged.file}:{logged.offset}: binlog column 2 is VARCHAR(80 bytes), the table has VARCHAR(50)"
        in what
    )


def test_the_history_is_read_once_and_extended(
    server: MysqlServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = log(server, database, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)")
    lookup = SchemaLookup(endpoint_of(server))
    assert lookup.names_for(logged.schema, logged.place).named
    extensions: list[object] = []
    monkeypatch.setattr(lookup._history, "_extend", extensions.append)
    assert lookup.names_for(logged.schema, logged.place).named
    assert extensions == []
    monkeypatch.undo()
    server.run("FLUSH BINARY LOGS", "ALTER TABLE t RENAME COLUMN a TO b", database=database)
    with pytest.raises(FindingError):
        lookup.names_for(logged.schema, logged.place)
    later = log(server, database, "INSERT INTO t VALUES (2)")
    assert lookup.names_for(later.schema, later.place).columns[0].name == "b"


def test_rows_are_published_under_their_names(server: MysqlServer, database: str) -> None:
    """Through the whole reading side; several tables in one transaction, and a new name once a DDL was passed."""
    server.run(
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9), e ENUM('x','y'))",
        "CREATE TABLE u (n BIGINT UNSIGNED PRIMARY KEY)",
        "BEGIN",
        "INSERT INTO t VALUES (1, 'one', 'y')",
        "INSERT INTO u VALUES (18446744073709551615)",
        "COMMIT",
        database=database,
    )
    file, offset = binlog_end(server)
    server.run("UPDATE t SET a = 'uno'", "INSERT INTO u VALUES (2)", database=database)
    lines: list[bytes] = []
    tail = Tail(
        endpoint=endpoint_of(server),
        tables=TableFilter([f"{database}.*"]),
        start=StartFile(file=file, position=offset),
        template=CANAL_JSON,
        until_end=True,
    )
    tail.run(lines.extend, lambda _: None)
    rows = [(row["table"], row["pkNames"], row["data"], row["old"]) for row in map(json.loads, lines)]
    assert rows == [
        ("t", ["id"], [{"id": "1", "a": "uno", "e": "y"}], [{"a": "one"}]),
        ("u", ["n"], [{"n": "2"}], None),
    ]


def test_missing_right_to_select(server: MysqlServer, database: str) -> None:
    logged = log(server, database, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)")
    server.run(
        "CREATE USER 'blind'@'127.0.0.1' IDENTIFIED BY 'x'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'blind'@'127.0.0.1'",
    )
    lookup = SchemaLookup(Endpoint(server.host, server.port, "blind", "x"))
    with pytest.raises(FindingError) as caught:
        lookup.names_for(logged.schema, logged.place)
    assert (caught.value.finding.code, caught.value.finding.kind) == ("privilege-missing", "operator")
    server.query(f"GRANT SELECT ON {database}.* TO 'blind'@'127.0.0.1'")
    assert lookup.names_for(logged.schema, logged.place).named
    server.query("DROP USER 'blind'@'127.0.0.1'")
