"""XA transactions of a real server: what is published is what SELECT shows, at XA COMMIT or never."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cdcd.binlog.prepared import Prepared
from cdcd.config.start import Start, StartFile, StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.errors import FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.held_rows import HeldRows, lost_rows
from cdcd.mysql.scan import BinlogScan
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
    messages = published(server, database, StartFile(file=place[0], position=place[1]))
    assert [message["data"][0]["v"] for message in messages] == ["again", "early"]


def test_purged_and_unknown(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    start = beginning(server)
    session(TABLE, *xa("gone", "INSERT INTO t VALUES (1, 'gone')"))
    session("FLUSH BINARY LOGS")
    [(file, position, *_)] = server.query("SHOW BINARY LOG STATUS")
    session(*xa("later", "INSERT INTO t VALUES (2, 'later')"), "XA COMMIT 'later'", "XA COMMIT 'gone'")
    assert state(published(server, database, start)) == selected(server, database)
    session(f"PURGE BINARY LOGS TO '{file}'")
    with pytest.raises(FindingError) as refused:
        published(server, database, StartFile(file=file, position=position))
    assert refused.value.finding.code == "xa-unknown"


def held_in(server: MysqlServer, database: str, session: Callable[..., None]) -> tuple[Prepared, tuple[str, int]]:
    """A prepared transaction, and a place behind it."""
    session(TABLE)
    start = server.query("SHOW BINARY LOG STATUS")[0]
    session(*xa("held", "INSERT INTO t VALUES (1, 'held')"))
    [found] = [each for each in BinlogScan(endpoint_of(server), start[0], start[1]).transactions() if each.xa]
    assert found.xa is not None
    prepared = Prepared(found.xa[1], found.gtid, found.file, found.start, 0)
    session("FLUSH BINARY LOGS", "INSERT INTO t VALUES (9, 'behind')")
    return prepared, server.query("SHOW BINARY LOG STATUS")[0][:2]


def test_it_is_found_by_place_by_gtid_and_by_search(
    server: MysqlServer, database: str, session: Callable[..., None]
) -> None:
    """As after a take-over on the same server, on another one, and where nothing is known."""
    prepared, behind = held_in(server, database, session)
    searched: list[str] = []
    rows = HeldRows(endpoint_of(server), server_identity(server), searching=searched.append)
    found = {}
    for name, known in {"place": prepared, "elsewhere": replace(prepared, file="", offset=0), "search": None}.items():
        reading = rows(prepared.xid, known, behind)
        assert reading is not None
        found[name] = (replace(reading[0], since_ms=0), b"".join(reading[1]))
    assert set(found.values()) == {(prepared, found["place"][1])}
    assert b"held" in found["place"][1]
    assert len(searched) == (1 if prepared.gtid else 2)


def test_one_that_has_ended_is_not_found(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    prepared, _ = held_in(server, database, session)
    session("XA ROLLBACK 'held'")
    [(file, position, *_)] = server.query("SHOW BINARY LOG STATUS")
    assert HeldRows(endpoint_of(server), server_identity(server))(prepared.xid, None, (file, position)) is None


def test_rows_that_the_source_has_purged(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    prepared, behind = held_in(server, database, session)
    assert lost_rows(endpoint_of(server), [prepared]) == []
    session(f"PURGE BINARY LOGS TO '{behind[0]}'")
    assert [finding.code for finding in lost_rows(endpoint_of(server), [prepared])] == ["xa-purged"]
    for known in (prepared, replace(prepared, file="", offset=0)):
        with pytest.raises(FindingError, match="X'68656c64'") as refused:
            HeldRows(endpoint_of(server), server_identity(server))(prepared.xid, known, behind)
        assert refused.value.finding.code == ("xa-purged" if known.file or known.gtid else "xa-unknown")
        assert refused.value.finding.kind == "operator"


def server_identity(server: MysqlServer) -> str:
    return str(server.query("SELECT @@server_uuid")[0][0])
