"""TIMESTAMP, DATETIME and TIME as MariaDB wrote them before 10.1 (mysql56_temporal_format=OFF), which live on in old tables.

Their fraction is not told by any binlog event; information_schema knows it. Expected values are the server's own.
"""

from collections.abc import Iterator

import pytest

from tests.integration.type_corpus import CORPUS
from tests.servers import MysqlFactory, MysqlServer
from tests.tailing import rows_of, tail

CASES = [case for case in CORPUS if case.type.startswith(("TIMESTAMP", "DATETIME", "TIME")) and not case.only]
COLUMNS = ", ".join(f"c{n} {case.type} NULL" for n, case in enumerate(CASES))
ROWS = [
    ", ".join(case.values[k % len(case.values)] for case in CASES)
    for k in range(max(len(case.values) for case in CASES))
]


@pytest.fixture(scope="module", params=["10.5 FULL", "11.8 NO_LOG"])
def server(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> MysqlServer:
    version, metadata = request.param.split()
    return mysql_server(f"mariadb-{version}", mysql56_temporal_format="OFF", binlog_row_metadata=metadata)


@pytest.fixture
def database(server: MysqlServer) -> Iterator[str]:
    # So that nobody reads of tables of the test before, which are gone.
    server.query("RESET MASTER")
    with server.database() as name:
        yield name


def test_values_are_those_select_gives(server: MysqlServer, database: str) -> None:
    with server.connect(database=database, conv={}) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE old (id INT PRIMARY KEY, {COLUMNS}, last INT UNSIGNED)")
        for k, row in enumerate(ROWS):
            cursor.execute(f"INSERT INTO old VALUES ({k}, {row}, 4000000000)")
        cursor.execute("SHOW CREATE TABLE old")
        assert cursor.fetchone()[1].count("/* mariadb-5.3 */") == len(CASES)
        names = ["id", *(f"c{n}" for n in range(len(CASES))), "last"]
        cursor.execute("SELECT * FROM old")
        rows = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
        cursor.execute("DELETE FROM old")
    messages = tail(server, f"{database}.*")
    assert rows_of(messages, "INSERT") == rows
    assert rows_of(messages, "DELETE") == rows
    types = messages[0]["mysqlType"]
    assert [types[f"c{n}"] for n in range(len(CASES))] == [case.type.lower() for case in CASES]


def test_rows_of_a_table_that_is_left_out_are_read_past(server: MysqlServer, database: str) -> None:
    server.run(
        "CREATE TABLE old (id INT PRIMARY KEY, a TIME(3), b DATETIME(6))",
        "CREATE TABLE t (id INT PRIMARY KEY)",
        "BEGIN",
        "INSERT INTO old VALUES (1, '01:02:03.456', '2024-01-01 00:00:00.123456'), (2, NULL, NULL)",
        "INSERT INTO t VALUES (1)",
        "COMMIT",
        database=database,
    )
    assert [message["data"] for message in tail(server, f"{database}.t")] == [[{"id": "1"}]]


def test_what_was_rebuilt_since_is_refused_with_the_way_out(server: MysqlServer, database: str) -> None:
    server.run(
        "CREATE TABLE old (id INT PRIMARY KEY, a TIME(3))",
        "INSERT INTO old VALUES (1, '01:02:03.456')",
        database=database,
    )
    server.run(
        "SET GLOBAL mysql56_temporal_format = ON",
        f"ALTER TABLE {database}.old FORCE",
        "SET GLOBAL mysql56_temporal_format = OFF",
    )
    with pytest.raises(AssertionError, match=r"(?s)may have changed the table since.*Rebuild the table"):
        tail(server, f"{database}.old")
