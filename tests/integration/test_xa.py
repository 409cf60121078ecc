"""XA transactions of a real server: what is published is what SELECT shows, at XA COMMIT or never."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cdcd.config.start import Start, StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.errors import FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.worker.tail import Tail
from tests.reading import endpoint_of, executed
from tests.servers import MysqlFactory, MysqlServer

TABLE = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(300))"


def xa(name: str, *statements: str, end: str = "PREPARE") -> list[str]:
    """A session's statements up to XA PREPARE (or XA COMMIT ... ONE PHASE, XA ROLLBACK)."""
    last = f"XA COMMIT '{name}' ONE PHASE" if end == "ONE PHASE" else f"XA {end} '{name}'"
    return [f"XA START '{name}'", *statements, f"XA END '{name}'", last]


def published(server: MysqlServer, database: str, start: Start) -> list[dict[str, Any]]:
    """Row messages of one database from `start` to the present end of the binlog."""
    lines: list[bytes] = []
    tail = Tail(
        endpoint=endpoint_of(server),
        tables=TableFilter([f"{database}.*"]),
        start=start,
        template=CANAL_JSON,
        until_end=True,
    )
    tail.run(lines.extend, lambda _: None)
    return [message for message in map(json.loads, lines) if not message["isDdl"]]


def state(messages: list[dict[str, Any]]) -> dict[int, str]:
    """The table that the messages, in their order, make."""
    found: dict[int, str] = {}
    for message in messages:
        [row] = message["data"]
        if message["type"] == "DELETE":
            del found[int(row["id"])]
        else:
            found[int(row["id"])] = row["v"]
    return found


def selected(server: MysqlServer, database: str) -> dict[int, str]:
    return dict(server.query(f"SELECT id, v FROM `{database}`.t"))


@pytest.fixture(params=[{}, {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}], ids=["gtid", "no-gtid"])
def server(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server(binlog_row_metadata="FULL", **request.param)


@pytest.fixture
def database(server: MysqlServer) -> Iterator[str]:
    with server.database() as name:
        yield name


@pytest.fixture
def session(server: MysqlServer, database: str) -> Iterator[Callable[..., None]]:
    """Runs each call's statements in a connection of its own; prepared transactions outlive it."""

    def run(*statements: str) -> None:
        server.run(*statements, database=database)

    yield run
    for row in server.query("XA RECOVER CONVERT XID"):
        server.run(f"XA ROLLBACK {row[3]},'',{row[0]}")


def beginning(server: MysqlServer) -> Start:
    return (
        StartGtidSet(gtid_set=str(executed(server))) if server.query("SELECT @@gtid_mode")[0][0] == "ON" else "earliest"
    )


def test_second_phases_in_another_order(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    start = beginning(server)
    session(TABLE, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    session(*xa("one", "UPDATE t SET v = 'one' WHERE id = 1", "INSERT INTO t VALUES (10, 'x')"))
    session(*xa("two", "DELETE FROM t WHERE id = 2", "SAVEPOINT s", "INSERT INTO t VALUES (20, 'x')", "ROLLBACK TO s"))
    session(*xa("three", "INSERT INTO t VALUES (30, 'never')"))
    session("INSERT INTO t VALUES (3, 'between')")
    session(*xa("four", "INSERT INTO t VALUES (40, 'at once')", end="ONE PHASE"))
    session(*xa("five", "INSERT INTO t VALUES (50, 'never')", end="ROLLBACK"))
    session("XA COMMIT 'two'")
    session("XA ROLLBACK 'three'")
    session("XA COMMIT 'one'")
    messages = published(server, database, start)
    assert state(messages) == selected(server, database)
    assert [int(message["data"][0]["id"]) for message in messages] == [1, 2, 3, 40, 2, 1, 10]
    assert [message["id"] for message in messages] == list(range(messages[0]["id"], messages[0]["id"] + 7))


def test_a_prepared_one_is_not_published(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    start = beginning(server)
    session(TABLE)
    session(*xa("open", "INSERT INTO t VALUES (1, 'not yet')"))
    assert published(server, database, start) == []
    session("XA COMMIT 'open'")
    assert state(published(server, database, start)) == {1: "not yet"}


@pytest.mark.parametrize("compression", ["OFF", "ON"])
def test_larger_than_what_is_kept_in_memory(
    server: MysqlServer, database: str, session: Callable[..., None], compression: str
) -> None:
    start = beginning(server)
    session(TABLE)
    rows = "INSERT INTO t SELECT n, REPEAT(CHAR(65 + n % 26), 300) FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 9000) SELECT n FROM s) s"
    setting = f"SET SESSION binlog_transaction_compression = {compression}"
    session("SET SESSION cte_max_recursion_depth = 10000", setting, *xa("large", rows))
    session("XA COMMIT 'large'")
    session(setting, *xa("again", "UPDATE t SET v = LEFT(v, 299)", end="ONE PHASE"))
    messages = published(server, database, start)
    assert len(messages) == 18_000
    assert state(messages) == selected(server, database)


def test_prepared_before_reading_began(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    """It is looked for backwards, over files and a restart that gives table ids out anew."""
    session(TABLE, "CREATE TABLE u LIKE t")
    session(*xa("early", "INSERT INTO t VALUES (1, 'early')"))
    session(*xa("used", "INSERT INTO t VALUES (2, 'first')"), "XA COMMIT 'used'")
    session("SET SESSION binlog_transaction_compression = ON", *xa("used", "INSERT INTO t VALUES (3, 'again')"))
    server.restart(kill=True)
    session("FLUSH BINARY LOGS", "INSERT INTO u VALUES (1, 'u')", "FLUSH BINARY LOGS")
    place = server.query("SHOW BINARY LOG STATUS")[0]
    session("XA COMMIT 'used'", "XA COMMIT 'early'")
    from cdcd.config.start import StartFile

    messages = published(server, database, StartFile(file=place[0], position=place[1]))
    assert [message["data"][0]["v"] for message in messages] == ["again", "early"]
