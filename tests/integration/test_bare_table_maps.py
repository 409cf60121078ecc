"""Table maps that say nothing but types (MySQL 5.6, MariaDB's NO_LOG), MySQL 5.5's rows, and no checksums.

One table with a column for each type; expected values are what the server itself selects. Each type in a table of its own,
on all servers: test_type_matrix.py.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.type_corpus import CORPUS, Case
from tests.servers import MysqlFactory, MysqlServer
from tests.tailing import rows_of, tail

AS_5_5: dict[str, str] = {
    "log_bin_use_v1_row_events": "ON",
    "binlog_checksum": "NONE",
    "gtid_mode": "OFF",
    "enforce_gtid_consistency": "OFF",
}
"""A MySQL 5.6 whose binlog looks like that of 5.5."""
SERVERS: dict[str, tuple[str, dict[str, str]]] = {
    "mysql-5.6 as 5.5": ("mysql-5.6", AS_5_5),
    "mariadb-11.8 NO_LOG": ("mariadb-11.8", {"binlog_row_metadata": "NO_LOG", "binlog_checksum": "NONE"}),
}
NOT_EVERYWHERE = ("JSON", "VECTOR", "GEOMETRY", "GEOMC", "CHARACTER SET")
TOO_LONG = ("VARCHAR(300)", "VARCHAR(16000)", "CHAR(255)", "BINARY(255)", "VARBINARY(300)")
"""For a row of a hundred columns."""


def on_all(case: Case) -> Case:
    """MySQL 5.6 has no CAST to DOUBLE."""
    return replace(case, shown=case.shown.replace("CAST(c AS DOUBLE)", "c * 1e0"))


CASES = [
    on_all(case)
    for case in CORPUS
    if not case.only and not any(word in case.type for word in NOT_EVERYWHERE) and case.type not in TOO_LONG
]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> MysqlServer:
    flavour, options = SERVERS[request.param]
    return mysql_server(flavour, **options)


@pytest.fixture
def database(server: MysqlServer) -> Iterator[str]:
    with server.database() as name:
        yield name


def select(cursor: Any, n: int, case: Case) -> dict[str, object]:
    """Values of column n by id, as the server shows them."""
    cursor.execute(f"SELECT id, {case.shown} FROM (SELECT id, c{n} AS c FROM wide) AS one")
    return {id_: text and case.expected(text) for id_, text in cursor.fetchall()}


def test_values_and_types_are_those_the_server_shows(server: MysqlServer, database: str) -> None:
    """Row k has each column's k-th value; each row shows in an INSERT, an UPDATE and a DELETE."""
    columns = ", ".join(f"c{n} {case.type} NULL" for n, case in enumerate(CASES))
    rows = [
        ", ".join(case.values[k % len(case.values)] for case in CASES)
        for k in range(max(len(case.values) for case in CASES))
    ]
    with server.connect(database=database, charset="utf8mb4", conv={}) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE wide (id INT PRIMARY KEY, n INT, {columns}) ENGINE = MyISAM")
        for k, row in enumerate(rows):
            cursor.execute(f"INSERT INTO wide VALUES ({k}, 0, {row})")
        selected = [select(cursor, n, case) for n, case in enumerate(CASES)]
        cursor.execute("UPDATE wide SET n = 1")
        cursor.execute("DELETE FROM wide")
    messages = tail(server, f"{database}.*")
    for kind in ("INSERT", "UPDATE", "DELETE"):
        found = rows_of(messages, kind)
        assert len(found) == len(rows)
        for n, case in enumerate(CASES):
            texts = {id_: found[id_][f"c{n}"] for id_ in selected[n]}
            assert {id_: text and case.published(text) for id_, text in texts.items()} == selected[n], case.type
    named = "SELECT column_name, column_type FROM information_schema.columns WHERE table_schema = %s"
    assert messages[0]["mysqlType"] == dict(server.query(named, (database,)))
    assert messages[0]["pkNames"] == ["id"]
