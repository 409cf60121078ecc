"""What only MariaDB has, against the server's own SELECT: compressed columns, UUID, INET4, INET6, VECTOR, TIMESTAMP up to
2106, system-versioned tables; with and without row metadata, with and without compressed events.
"""

import json
from typing import Any

import pytest

from cdcd.config.start import Start, StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.connection import Endpoint
from cdcd.worker.tail import Tail
from tests.instances import Figures
from tests.integration import type_matrix
from tests.integration.type_corpus import OF_MARIADB
from tests.servers import MysqlFactory, MysqlServer

pytestmark = pytest.mark.must_show("5.1")

NAMED_PERIODS = (
    "id INT, v INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END,"
    " PERIOD FOR SYSTEM_TIME(s, e), PRIMARY KEY (id)"
)


def published(server: MysqlServer, database: str, start: Start = "earliest") -> list[dict[str, Any]]:
    """Everything of the database's tables, as `cdcd tail` prints it."""
    lines: list[bytes] = []
    endpoint = Endpoint(server.host, server.port, server.user, server.password)
    tables = TableFilter((f"{database}.*",), ())
    tail = Tail(endpoint, tables, start, CANAL_JSON, until_end=True)
    tail.run(lines.extend, lambda _: None)
    return [json.loads(line) for line in lines]


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


def test_values_are_those_select_gives(server: MysqlServer, figures: Figures) -> None:
    matrix = type_matrix.run(server, OF_MARIADB)
    figures({"server": server.flavour, "types": matrix.types, "compared": matrix.compared})
    assert not matrix.differences[:20]
    assert not matrix.declared


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
