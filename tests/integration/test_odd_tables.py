"""Tables at the edge: 1,000 and more columns, every width of BIT, generated, invisible and indexed columns, names of any
characters, ENUM labels that MINIMAL metadata cannot say, a row of 64 MB, a document of 64,000 keys.

Published as the server's own SELECT shows them.
"""

import base64
import hashlib
import json
import time
from typing import Any

import pytest

from cdcd.binlog.core.native import END, Decoder, Plan, Route
from cdcd.binlog.schema import TableSchema
from cdcd.config.start import StartFile
from cdcd.errors import FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, compile_plan
from cdcd.mysql.dump_request import DumpRequest
from tests.instances import Figures
from tests.integration.type_matrix import new_file, tail
from tests.reading import endpoint_of, opened, read_to_end
from tests.servers import MysqlFactory, MysqlServer

pytestmark = pytest.mark.must_show("5.1")

MOST_COLUMNS = 1017
"""Of InnoDB (MySQL manual, "InnoDB Limits")."""


SERVERS = [
    pytest.param("mysql", id="FULL"),
    pytest.param("minimal", id="MINIMAL"),
    *(
        pytest.param((flavour, metadata), id=f"{flavour}-{metadata}", marks=pytest.mark.prove)
        for flavour, metadata in (("mysql-5.6", ""), ("mariadb-10.5", "FULL"), ("mariadb-11.8", "NO_LOG"))
    ),
]


@pytest.fixture(scope="module", params=SERVERS)
def server(mysql_server: MysqlFactory, request: pytest.FixtureRequest) -> MysqlServer:
    if isinstance(request.param, str):
        shared: MysqlServer = request.getfixturevalue(request.param)
        return shared
    flavour, metadata = request.param
    return mysql_server(flavour, **({"binlog_row_metadata": metadata} if metadata else {}))


def messages(server: MysqlServer, database: str, start: StartFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tail(server, database, start)]


def test_as_many_columns_as_there_can_be(server: MysqlServer) -> None:
    names = [f"c{i}" for i in range(MOST_COLUMNS - 1)]
    kinds = ("INT UNSIGNED", "VARCHAR(3)", "TINYINT", "BIT(3)", "DECIMAL(5,2)")
    columns = ", ".join(f"{name} {kinds[i % 5]}" for i, name in enumerate(names))
    values = ", ".join("NULL" if i % 7 == 3 else str(i % 4) for i in range(len(names)))
    with server.database() as database:
        start = new_file(server)
        server.run(
            f"CREATE TABLE wide (id INT PRIMARY KEY, {columns})",
            f"INSERT INTO wide VALUES (1, {values})",
            "UPDATE wide SET c1015 = 9, c0 = NULL",
            database=database,
        )
        shown = ", ".join(
            f"CAST({name} + 0 AS CHAR)" if i % 5 == 3 else f"CAST({name} AS CHAR)" for i, name in enumerate(names)
        )
        [selected] = server.query(f"SELECT {shown} FROM {database}.wide")
        insert, update = messages(server, database, start)
    assert update["data"] == [{"id": "1", **dict(zip(names, selected, strict=True))}]
    assert update["old"] == [{"c0": "0", "c1015": "3" if 1015 % 7 != 3 else None}]
    assert insert["data"] == [{**update["data"][0], **update["old"][0]}]
    assert len(insert["sqlType"]) == MOST_COLUMNS


def test_every_width_of_bit(server: MysqlServer) -> None:
    columns = ", ".join(f"b{n} BIT({n})" for n in range(1, 65))
    rows = [
        [0] * 64,
        [1] * 64,
        [1 << (n - 1) for n in range(1, 65)],
        [(1 << n) - 1 for n in range(1, 65)],
        [0x5555555555555555 & (1 << n) - 1 for n in range(1, 65)],
    ]
    with server.database() as database:
        start = new_file(server)
        texts = ", ".join(f"({i}, {', '.join(map(str, row))})" for i, row in enumerate(rows))
        server.run(
            f"CREATE TABLE bits (id INT PRIMARY KEY, {columns})", f"INSERT INTO bits VALUES {texts}", database=database
        )
        found = messages(server, database, start)
    assert [list(one["data"][0].values())[1:] for one in found] == [[str(value) for value in row] for row in rows]


@pytest.mark.parametrize("server", [each for each in SERVERS if each.id != "mysql-5.6-"], indirect=True)
def test_generated_and_invisible_columns(server: MysqlServer) -> None:
    """They are in the binlog like any other. MySQL 5.6 has neither."""
    with server.database() as database:
        start = new_file(server)
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT GENERATED ALWAYS AS (a * 2) VIRTUAL, s VARCHAR(20) AS"
            " (CONCAT('<', a, '>')) STORED, hidden INT INVISIBLE DEFAULT 7, INDEX h (v), INDEX i (s))",
            "INSERT INTO t (id, a) VALUES (1, 5)",
            "UPDATE t SET a = 6, hidden = 8",
            "SET SESSION binlog_row_image = MINIMAL",
            "DELETE FROM t",
            database=database,
        )
        insert, update, delete = messages(server, database, start)
    assert update["data"] == [{"id": "1", "a": "6", "v": "12", "s": "<6>", "hidden": "8"}]
    assert update["old"] == [{"a": "5", "v": "10", "s": "<5>", "hidden": "7"}]
    assert insert["data"] == [{**update["data"][0], **update["old"][0]}]
    assert delete["data"] == [{"id": "1"}]


def test_columns_of_indexes_and_generated_keys(minimal: MysqlServer) -> None:
    """Columns that an index has for an expression are hidden, and not in the binlog; a key that was generated is."""
    with minimal.database() as database:
        start = new_file(minimal)
        minimal.run(
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, j JSON,"
            " INDEX f ((a + 1)), INDEX g ((CAST(j->'$.k' AS UNSIGNED ARRAY))))",
            "INSERT INTO t (id, a, j) VALUES (1, 5, '{\"k\": [1, 2]}')",
            "UPDATE t SET a = 6",
            "SET sql_generate_invisible_primary_key = ON",
            "CREATE TABLE keyless (a INT)",
            "INSERT INTO keyless VALUES (3)",
            database=database,
        )
        [key] = minimal.query(f"SELECT my_row_id, a FROM {database}.keyless")
        insert, update, keyless = messages(minimal, database, start)
    assert update["data"] == [{"id": "1", "a": "6", "j": '{"k": [1, 2]}'}]
    assert update["old"] == [{"a": "5"}]
    assert insert["data"] == [{**update["data"][0], **update["old"][0]}]
    assert keyless["data"] == [{"my_row_id": str(key[0]), "a": str(key[1])}]
    assert keyless["pkNames"] == ["my_row_id"]


NAMES = (
    "a b",
    'quo"te',
    "it's",
    "back`tick",
    "a`; DROP TABLE `a b`; --",
    "sla\\sh",
    "dot.ted",
    "ÄÖ漢字",
    "%s %(x)s",
    "{b}",
    "-",
    "x" * 64,
    "\u2028",
    "1",
)


def test_names_of_any_characters(server: MysqlServer) -> None:
    columns = ", ".join(f"`{name.replace('`', '``')}` INT" for name in NAMES)
    with server.connect(charset="utf8mb4") as connection, connection.cursor() as cursor:
        database = "da`ta 'b\"a.se ü漢"
        quoted = "`" + database.replace("`", "``") + "`"
        start = new_file(server)
        cursor.execute(f"CREATE DATABASE {quoted}")
        try:
            for table in NAMES:
                where = f"{quoted}.`{table.replace('`', '``')}`"
                cursor.execute(f"CREATE TABLE {where} ({columns}, PRIMARY KEY (`a b`, `back``tick`))")
            for number, table in enumerate(NAMES):
                where = f"{quoted}.`{table.replace('`', '``')}`"
                cursor.execute(f"INSERT INTO {where} VALUES ({', '.join(str(number + i) for i in range(len(NAMES)))})")
            found = messages(server, "*", start)
        finally:
            cursor.execute(f"DROP DATABASE {quoted}")
    assert [(one["database"], one["table"]) for one in found] == [(database, table) for table in NAMES]
    for number, one in enumerate(found):
        assert one["data"] == [{name: str(number + i) for i, name in enumerate(NAMES)}]
        assert one["pkNames"] == ["a b", "back`tick"]


def test_labels_that_are_no_text(mysql: MysqlServer, minimal: MysqlServer, mysql_server: MysqlFactory) -> None:
    """Of `CHARACTER SET binary`; MySQL 9.7 has words for them in information_schema, MariaDB has not."""

    def written(server: MysqlServer) -> list[str]:
        with server.database() as database:
            start = new_file(server)
            server.run(
                "CREATE TABLE t (id INT PRIMARY KEY, e ENUM(x'ff','b') CHARACTER SET binary)",
                "INSERT INTO t VALUES (1, 1), (2, 2)",
                database=database,
            )
            return [one["data"][0]["e"] for one in messages(server, database, start)]

    for server in (mysql, minimal):
        assert written(server) == ["\ufffd", "b"]
    with pytest.raises(FindingError, match=r"labels of e .* cannot be told"):
        written(mysql_server("mariadb-11.8", binlog_row_metadata="NO_LOG"))


@pytest.mark.prove
def test_labels_beyond_half_of_16_bits(minimal: MysqlServer) -> None:
    """The most would be 65,535, for which the server takes a minute."""
    count = 33_000
    with minimal.database() as database:
        start = new_file(minimal)
        labels = ",".join(f"'{n:x}'" for n in range(1, count + 1))
        minimal.run(
            f"CREATE TABLE t (id INT PRIMARY KEY, e ENUM({labels}))",
            f"INSERT INTO t VALUES (1, 1), (2, 256), (3, {count})",
            database=database,
        )
        assert [one["data"][0]["e"] for one in messages(minimal, database, start)] == ["1", "100", f"{count:x}"]


def test_labels_above_the_basic_plane(mysql: MysqlServer, minimal: MysqlServer) -> None:
    """information_schema shows them as question marks: with MINIMAL metadata there is no way to know them."""
    statements = (
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a','😀b') CHARACTER SET utf8mb4, s SET('x','😀') CHARACTER SET utf16)",
        "INSERT INTO t VALUES (1, 2, 3)",
    )

    def written(server: MysqlServer) -> list[dict[str, Any]]:
        with server.database() as database:
            start = new_file(server)
            with server.connect(database=database, charset="utf8mb4") as connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            return messages(server, database, start)

    [message] = written(mysql)
    assert message["data"] == [{"id": "1", "e": "😀b", "s": "x,😀"}]
    with pytest.raises(FindingError, match=r"labels of e .* cannot be told") as caught:
        written(minimal)
    assert caught.value.finding.code == "schema-unknown"


def test_labels_with_question_marks(minimal: MysqlServer) -> None:
    """In character sets that have nothing above the basic plane a question mark is one."""
    with minimal.database() as database:
        start = new_file(minimal)
        minimal.run(
            "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('why?','?') CHARACTER SET latin1)",
            "INSERT INTO t VALUES (1, 1), (2, 2)",
            database=database,
        )
        assert [one["data"][0]["e"] for one in messages(minimal, database, start)] == ["why?", "?"]


@pytest.mark.prove
@pytest.mark.must_show("5.1")
def test_a_blob_of_64_mb(mysql_server: MysqlFactory, figures: Figures) -> None:
    server = mysql_server(max_allowed_packet="256M", binlog_row_metadata="FULL")
    size = 64 << 20
    with server.database() as database:
        start = new_file(server)
        server.run(
            "CREATE TABLE big (id INT PRIMARY KEY, b LONGBLOB)",
            f"INSERT INTO big VALUES (1, REPEAT(x'00ff41', {size // 3}))",
            "UPDATE big SET b = CONCAT(b, 'x')",
            "DELETE FROM big",
            database=database,
        )
        found = messages(server, database, start)
    plain = b"\x00\xffA" * (size // 3)
    digest = hashlib.sha256(plain).digest(), hashlib.sha256(plain + b"x").digest()
    read = [hashlib.sha256(base64.b64decode(one["data"][0]["b"])).digest() for one in found]
    assert read == [digest[0], digest[1], digest[1]]
    assert hashlib.sha256(base64.b64decode(found[1]["old"][0]["b"])).digest() == digest[0]
    figures({"blob_bytes": size, "operations": len(found)})


@pytest.mark.prove
@pytest.mark.must_show("5.6")
def test_a_document_of_64_000_keys(mysql_server: MysqlFactory, figures: Figures) -> None:
    """The whole way from the dump's bytes to the message, best of five."""
    server = mysql_server(max_allowed_packet="64M", binlog_row_metadata="FULL", cte_max_recursion_depth=100_000)
    numbers = "WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 64000) SELECT i FROM n"
    with server.database() as database:
        start = new_file(server)
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY, j JSON)",
            f"INSERT INTO t SELECT 1, JSON_OBJECTAGG(CONCAT('key', i), CONCAT('a value of it ', i)) FROM ({numbers}) n",
            database=database,
        )
        [[text, size]] = server.query(f"SELECT CAST(j AS CHAR), JSON_STORAGE_SIZE(j) FROM {database}.t")
        with opened(endpoint_of(server), DumpRequest(file=start.file, offset=4, non_blocking=True)) as dump:
            data = read_to_end(dump).data
        runs = [timed(data, database) for _ in range(5)]
    assert all(json.loads(message)["data"][0]["j"] == text for _, message in runs)
    best = min(seconds for seconds, _ in runs) * 1000
    figures({"keys": 64_000, "document_bytes": size, "milliseconds": round(best, 1)})
    assert size >= 2_000_000
    assert best <= 50


def timed(data: bytes, database: str) -> tuple[float, bytes]:
    """CPU seconds to decode a dump, and its one message."""
    route = Route("t", 1)

    def catalog(schema: TableSchema) -> Plan | None:
        return compile_plan(schema, CANAL_JSON, route, Keying(shared=False)) if schema.database == database else None

    decoder = Decoder(catalog)
    began = time.process_time()
    decoder.feed(data)
    while decoder.decode(0) != END:
        pass
    [(_, _, _, [message], _)] = decoder.take_runs()
    return time.process_time() - began, message
