"""What only MariaDB has, against the server's own SELECT: compressed columns, UUID, INET4, INET6, VECTOR, TIMESTAMP up to
2106, system-versioned tables; with and without row metadata, with and without compressed events.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cdcd.config.start import Start, StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.connection import Endpoint
from cdcd.worker.tail import Tail
from tests.servers import MysqlFactory, MysqlServer

LONG = "REPEAT('long text ', 40)"
BYTES = "REPEAT(X'00FF', 300)"
NAMED_PERIODS = (
    "id INT, v INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END,"
    " PERIOD FOR SYSTEM_TIME(s, e), PRIMARY KEY (id)"
)


@dataclass(frozen=True)
class Case:
    """A column: its values as SQL, and how the server shows them as text."""

    type: str
    values: tuple[str, ...]
    shown: str = "c"
    since: tuple[int, int] = (10, 5)


CASES = (
    Case("VARCHAR(500) COMPRESSED", ("''", "'a'", LONG, "REPEAT('ä€', 100)")),
    Case("VARCHAR(100) COMPRESSED CHARACTER SET latin1", ("''", "'é'", "REPEAT('é', 90)")),
    Case("VARCHAR(255) COMPRESSED CHARACTER SET latin1", ("''", "REPEAT('x', 255)")),
    Case("MEDIUMTEXT COMPRESSED", ("''", "'a'", LONG, "REPEAT('漢', 70000)")),
    Case("BLOB COMPRESSED", ("''", "X'00'", BYTES), "REPLACE(TO_BASE64(c), '\n', '')"),
    Case("VARBINARY(700) COMPRESSED", ("''", "X'80'", BYTES), "REPLACE(TO_BASE64(c), '\n', '')"),
    Case("INET6", ("'::'", "'::1'", "'2001:db8::'", "'::ffff:1.2.3.4'", "'::1.2.3.4'", "'fe80::1:0:0:1'", "'1:0:2:3:4:5:6:7'",
                   "'0:1::'", "'0:0:1:2:3:4:5:6'", "'1:2:3:4:5:6:7:0'", "'1:0:0:2:0:0:3:4'", "'::2:3:4:5:6:7'", "'::ffff:0:1'",
                   "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "'::ffff'", "'::1:0'", "'1::'", "'0:0:0:0:1::'")),
    Case("INET4", ("'0.0.0.0'", "'1.2.3.4'", "'10.0.0.0'", "'255.255.255.255'"), since=(10, 10)),
    Case("UUID", ("'123e4567-e89b-12d3-a456-426614174000'", "'123e4567-e89b-42d3-a456-426600000000'",
                  "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
                  "'018f3f2e-7c0a-7abc-8def-001122334400'", "'00000000-0000-1000-8000-000000000000'",
                  "'10000000-2000-3000-9000-a00000000000'", "'12345678-9abc-5def-bfff-ffffffffff00'",
                  "'12345678-9abc-0def-1fff-ffffffffffff'", "'12345678-9abc-6def-8fff-ffffffffffff'"), since=(10, 7)),
    Case("BINARY(16)", ("'::1'", "X'123E4567E89B12D3A456426614174000'"), "TO_BASE64(c)"),
    Case("BINARY(4)", ("'ab'", "''"), "TO_BASE64(c)"),
    Case("VECTOR(3)", ("VEC_FromText('[1.5,2,-0.25]')", "VEC_FromText('[0,1e10,-3.5e-20]')"), "VEC_ToText(c)", since=(11, 7)),
    Case("VARBINARY(12)", ("VEC_FromText('[1.5,2,-0.25]')",), "TO_BASE64(c)", since=(11, 7)),
    Case("TIMESTAMP", ("'1970-01-01 00:00:01'", "'2038-01-19 03:14:08'", "'2106-02-07 06:28:15'"), since=(11, 5)),
    Case("TIMESTAMP(6)", ("'2040-02-29 23:59:59.000001'", "'2106-02-07 06:28:15.999999'"), since=(11, 5)),
    Case("JSON", ("'{\"b\": 1, \"a\":[1,2]}'", "'null'")),
)  # fmt: skip


def version_of(server: MysqlServer) -> tuple[int, int]:
    major, minor = str(server.query("SELECT VERSION()")[0][0]).split(".")[:2]
    return int(major), int(minor)


def published(server: MysqlServer, database: str, start: Start = "earliest") -> list[dict[str, Any]]:
    """Everything of the database's tables, as `cdcd tail` prints it."""
    lines: list[bytes] = []
    endpoint = Endpoint(server.host, server.port, server.user, server.password)
    tables = TableFilter((f"{database}.*",), ())
    tail = Tail(endpoint, tables, start, CANAL_JSON, until_end=True)
    tail.run(lines.extend, lambda _: None)
    return [json.loads(line) for line in lines]


@dataclass
class Written:
    """One case's table: what the server showed, and what was published."""

    selected: dict[str, str | None]
    declared: str
    messages: list[dict[str, Any]]


SERVERS = [
    pytest.param(("11.8", "FULL", False), id="11.8-FULL"),
    pytest.param(("11.8", "NO_LOG", True), id="11.8-NO_LOG-compressed"),
    *(
        pytest.param((version, metadata, packed), id=f"{version}-{metadata}", marks=pytest.mark.prove)
        for version in ("10.5", "10.11")
        for metadata, packed in (("FULL", True), ("MINIMAL", False), ("NO_LOG", True))
    ),
]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> MysqlServer:
    version, metadata, packed = request.param
    return mysql_server(
        f"mariadb-{version}",
        binlog_row_metadata=metadata,
        log_bin_compress="ON" if packed else "OFF",
        log_bin_compress_min_len=10,
        column_compression_zlib_wrap="ON" if packed else "OFF",
    )


@pytest.fixture(scope="module")
def written(server: MysqlServer) -> Iterator[dict[str, Written]]:
    """Every case the server knows: each value inserted twice, then one of the two updated to NULL, the other deleted."""
    known = [(f"case_{i:02}", case) for i, case in enumerate(CASES) if version_of(server) >= case.since]
    with server.database() as database:
        found = {name: _write(server, database, name, case) for name, case in known}
        for message in published(server, database):
            found[message["table"]].messages.append(message)
        yield found


def _write(server: MysqlServer, database: str, name: str, case: Case) -> Written:
    with server.connect(database=database, conv={}, charset="utf8mb4") as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY, c {case.type} NULL)")
        values = ", ".join(f"({2 * i + copy}, {value})" for i, value in enumerate(case.values) for copy in (0, 1))
        cursor.execute(f"INSERT INTO {name} VALUES {values}")
        cursor.execute(f"SELECT id, {case.shown} FROM {name}")
        selected = dict(cursor.fetchall())
        cursor.execute(f"UPDATE {name} SET c = NULL WHERE id % 2 = 0")
        cursor.execute(f"DELETE FROM {name} WHERE id % 2 = 1")
        cursor.execute("SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
                       " AND COLUMN_NAME = 'c'", (database, name))  # fmt: skip
        declared = str(cursor.fetchone()[0]).partition(" /*")[0]
    return Written(selected, declared, [])


@pytest.mark.parametrize("i", range(len(CASES)), ids=[case.type for case in CASES])
def test_values_are_those_select_gives(written: dict[str, Written], i: int) -> None:
    table = written.get(f"case_{i:02}")
    if table is None:
        return  # this server has no such type
    seen: dict[tuple[str, str], str | None] = {}
    for message in table.messages:
        [row] = message["data"]
        assert message["mysqlType"]["c"] == table.declared
        seen[message["type"], row["id"]] = message["old"][0]["c"] if message["type"] == "UPDATE" else row["c"]
    expected = {("INSERT", id_): text for id_, text in table.selected.items()}
    expected |= {("DELETE" if int(id_) % 2 else "UPDATE", id_): text for id_, text in table.selected.items()}
    if CASES[i].type.startswith("VECTOR"):  # the server writes more digits than a float has
        assert {at: json.loads(text or "") for at, text in seen.items()} == {
            at: pytest.approx(json.loads(text or ""), rel=1e-6) for at, text in expected.items()
        }
        return
    assert seen == expected


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ("id INT PRIMARY KEY, v INT", "id, v, w, row_start, row_end"),
        (NAMED_PERIODS, "id, v, s, e, w"),
    ],
    ids=["hidden", "named"],
)
def test_system_versioned_tables(server: MysqlServer, columns: str, shown: str) -> None:
    """History comes as rows of its own; what a consumer has by key in the end is the table at all times."""
    with server.database() as database:
        server.run(
            f"CREATE TABLE t ({columns}) WITH SYSTEM VERSIONING",
            "SET system_versioning_alter_history = KEEP",
            "ALTER TABLE t ADD w INT DEFAULT 5",
            database=database,
        )
        [(known,)] = server.query("SELECT @@gtid_binlog_pos")
        changes = (
            "INSERT INTO t (id, v) VALUES (1, 1), (2, 2), (3, 3)",
            "UPDATE t SET v = v + 1",
            "DELETE FROM t WHERE id = 2",
        )
        server.run(*changes, database=database)
        state: dict[tuple[str, ...], dict[str, str | None]] = {}
        for message in published(server, database, StartGtidSet(gtid_set=known)):
            [row] = message["data"]
            key = tuple(row[name] for name in message["pkNames"])
            if message["type"] == "DELETE":
                assert state.pop(key) == row
            else:
                state[key] = row
        with server.connect(database=database, conv={}, charset="utf8mb4") as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(f"SELECT {shown} FROM t FOR SYSTEM_TIME ALL")
            selected = [dict(zip(shown.split(", "), values, strict=True)) for values in cursor.fetchall()]
    assert len(selected) == 6
    assert sorted(map(sorted_items, state.values())) == sorted(map(sorted_items, selected))


def sorted_items(row: dict[str, str | None]) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in row.items())
