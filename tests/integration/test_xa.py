"""XA transactions of a real server: what is published is what SELECT shows, at XA COMMIT or never."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from cdcd.binlog.prepared import Prepared
from cdcd.config.start import Start, StartFile
from cdcd.config.tables import TableFilter
from cdcd.errors import FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.held_rows import HeldRows, lost_rows
from cdcd.mysql.scan import BinlogScan
from cdcd.mysql.version import server_identity
from cdcd.worker.tail import Tail
from tests.reading import endpoint_of
from tests.servers import MysqlFactory, MysqlServer
from tests.waiting import until

pytestmark = pytest.mark.must_show("5.2")
TABLE = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(300))"


def xa(name: str, *statements: str, end: str = "PREPARE") -> list[str]:
    """A session's statements up to XA PREPARE (or XA COMMIT ... ONE PHASE, XA ROLLBACK)."""
    last = f"XA COMMIT '{name}' ONE PHASE" if end == "ONE PHASE" else f"XA {end} '{name}'"
    return [f"XA START '{name}'", *statements, f"XA END '{name}'", last]


def published(server: MysqlServer, database: str, start: Start, table: str = "*") -> list[dict[str, Any]]:
    """Row messages of one database, or one table of it, from `start` to the present end of the binlog."""
    lines: list[bytes] = []
    tail = Tail(
        endpoint=endpoint_of(server),
        tables=TableFilter([f"{database}.{table}"]),
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


FLAVOURS: dict[str, tuple[str, dict[str, str]]] = {
    "gtid": ("mysql-9.7", {}),
    "no-gtid": ("mysql-9.7", {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}),
    "mariadb": ("mariadb-11.8", {}),
    "mariadb-10.11": ("mariadb-10.11", {}),
}
IN_EVERY_TEST = ("gtid", "no-gtid", "mariadb")


@pytest.fixture(
    params=[pytest.param(each, marks=[] if each in IN_EVERY_TEST else pytest.mark.prove) for each in FLAVOURS]
)
def server(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> MysqlServer:
    flavour, options = FLAVOURS[request.param]
    made = mysql_server(flavour, binlog_row_metadata="FULL", **options)
    if flavour.startswith("mariadb"):
        with suppress(pymysql.err.OperationalError):  # 11.4 and later; else PURGE waits for a replica
            made.run("SET GLOBAL slave_connections_needed_for_purge = 0")
    return made


@pytest.fixture
def database(server: MysqlServer) -> Iterator[str]:
    with server.database() as name:
        yield name


@pytest.fixture
def session(server: MysqlServer, database: str) -> Iterator[Callable[..., None]]:
    """Runs each call's statements in a connection of its own; prepared transactions outlive it."""
    prepared: set[str] = set()

    def run(*statements: str) -> None:
        here = {each.removeprefix("XA PREPARE ") for each in statements if each.startswith("XA PREPARE ")}
        prepared.update(here)
        with server.connect(database=database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            number = cursor.fetchall()[0][0]
            for statement in statements:
                cursor.execute(statement)
        if here:  # nobody else may end them as long as the server has not noticed the end of this connection
            until(lambda: number not in {row[0] for row in server.query("SHOW PROCESSLIST")})

    yield run
    for name in prepared:
        with suppress(pymysql.err.Error):
            server.run(f"XA ROLLBACK {name}")


def place(server: MysqlServer) -> tuple[str, int]:
    """The present end of its binlog."""
    row = server.query("SHOW MASTER STATUS" if "mariadb" in server.flavour else "SHOW BINARY LOG STATUS")[0]
    return row[0], row[1]


def purge(server: MysqlServer, first_kept: str) -> None:
    """A server says nothing and keeps a file that somebody reads, or that a closed connection has just read."""
    deadline = time.monotonic() + 30
    while server.query("SHOW BINARY LOGS")[0][0] != first_kept:
        assert time.monotonic() < deadline
        server.run(f"PURGE BINARY LOGS TO '{first_kept}'")


def beginning(server: MysqlServer) -> Start:
    file, position = place(server)
    return StartFile(file=file, position=position)


def test_second_phases_in_another_order(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    start = beginning(server)
    session(TABLE, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    session(*xa("one", "UPDATE t SET v = 'one' WHERE id = 1", "INSERT INTO t VALUES (10, 'x')"))
    session(*xa("two", "DELETE FROM t WHERE id = 2", "SAVEPOINT s", "INSERT INTO t VALUES (20, 'x')", "ROLLBACK TO s"))
    session(*xa("three", "INSERT INTO t VALUES (5, 'never')"))
    session("INSERT INTO t VALUES (3, 'between')")
    session(*xa("four", "INSERT INTO t VALUES (4, 'at once')", end="ONE PHASE"))
    session(*xa("five", "INSERT INTO t VALUES (6, 'never')", end="ROLLBACK"))
    session("XA COMMIT 'two'")
    session("XA ROLLBACK 'three'")
    session("XA COMMIT 'one'")
    messages = published(server, database, start)
    assert state(messages) == selected(server, database)
    assert [int(message["data"][0]["id"]) for message in messages] == [1, 2, 3, 4, 2, 1, 10]
    assert [message["id"] for message in messages] == list(range(messages[0]["id"], messages[0]["id"] + 7))


def test_a_prepared_one_is_not_published(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    start = beginning(server)
    session(TABLE)
    session(*xa("open", "INSERT INTO t VALUES (1, 'not yet')"))
    assert published(server, database, start) == []
    session("XA COMMIT 'open'")
    assert state(published(server, database, start)) == {1: "not yet"}


@pytest.mark.parametrize("compressed", [False, True])
def test_larger_than_what_is_kept_in_memory(
    server: MysqlServer, database: str, session: Callable[..., None], compressed: bool
) -> None:
    start = beginning(server)
    session(TABLE)
    rows = ",".join(f"({n}, '{chr(65 + n % 26) * 300}')" for n in range(9000))
    setting = (
        ["SET SESSION binlog_transaction_compression = ON"] if compressed and "mariadb" not in server.flavour else []
    )
    session(*setting, *xa("large", f"INSERT INTO t VALUES {rows}"))
    session("XA COMMIT 'large'")
    session(*setting, *xa("again", "UPDATE t SET v = LEFT(v, 299)", end="ONE PHASE"))
    messages = published(server, database, start)
    assert len(messages) == 18_000
    assert state(messages) == selected(server, database)


XIDS = (
    "X'00ff27c3',X'8000',2147483647",
    "'a','bc'",
    "'ab','c'",
    "'ab','cd',7",
    "'it''s; \\\\ x','',0",
    "REPEAT",
)
"""Bytes that are no text, one text cut in two ways, another format, quotes, and all 64 + 64 bytes."""


def test_xids_of_all_sorts(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    """Five are prepared at once; which one is committed is told by every byte of its name."""
    start = beginning(server)
    session(TABLE)
    names = [f"'{'g' * 64}','{'b' * 64}'" if name == "REPEAT" else name for name in XIDS]
    for number, name in enumerate(names):
        session(f"XA START {name}", f"INSERT INTO t VALUES ({number}, 'x')", f"XA END {name}", f"XA PREPARE {name}")
    for number in (3, 0, 4, 1, 5, 2):
        session(f"XA {'ROLLBACK' if number == 2 else 'COMMIT'} {names[number]}")
    assert [int(message["data"][0]["id"]) for message in published(server, database, start)] == [3, 0, 4, 1, 5]
    assert sorted(selected(server, database)) == [0, 1, 3, 4, 5]


def test_rows_of_some_tables(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    start = beginning(server)
    session(TABLE, "CREATE TABLE u LIKE t")
    both = ["INSERT INTO u VALUES (1, 'u')", "INSERT INTO t VALUES (1, 't')"]
    both += ["UPDATE u SET v = 'w' WHERE id = 1", "DELETE FROM u WHERE id = 1"]
    session(*xa("both", *both))
    session(*xa("other", "INSERT INTO u VALUES (2, 'u')"))
    session("XA COMMIT 'other'", "XA COMMIT 'both'")
    assert [message["data"][0] for message in published(server, database, start, "t")] == [{"id": "1", "v": "t"}]
    assert [message["type"] for message in published(server, database, start, "u")] == [
        "INSERT",
        "INSERT",
        "UPDATE",
        "DELETE",
    ]


def test_nothing_to_publish(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    """Servers log some of these, and some only by half; MariaDB ends those without changes by itself."""
    start = beginning(server)
    session(TABLE, "INSERT INTO t VALUES (1, 'a')")
    for name, statement in {"empty": "DO 1", "read": "SELECT * FROM t", "same": "UPDATE t SET v = v"}.items():
        session(*xa(name, statement))
        with suppress(pymysql.err.Error):
            session(f"XA COMMIT '{name}'")
    session(
        "SET SESSION sql_log_bin = OFF", *xa("secret", "INSERT INTO t VALUES (2, 'not logged')"), "XA COMMIT 'secret'"
    )
    assert [message["data"][0]["id"] for message in published(server, database, start)] == ["1"]


def test_prepared_without_binlog(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    """MariaDB logs the commit of what it did not log. Whether its rows are lost, or only never were there, cannot be told."""
    start = beginning(server)
    session(TABLE, "SET SESSION sql_log_bin = OFF", *xa("secret", "INSERT INTO t VALUES (2, 'not logged')"))
    session("XA COMMIT 'secret'")
    if "mariadb" not in server.flavour:
        assert published(server, database, start) == []
        return
    with pytest.raises(FindingError) as refused:
        published(server, database, start)
    assert refused.value.finding.code == "xa-unknown"


@pytest.mark.prove
def test_a_table_with_prepared_rows_cannot_be_changed(
    server: MysqlServer, database: str, session: Callable[..., None]
) -> None:
    """Neither after the session's end nor after a crash: names of columns are the same at both phases."""
    session(TABLE, *xa("open", "INSERT INTO t VALUES (1, 'x')"))
    for crash in (False, True):
        if crash:
            server.restart(kill=True)
        for ddl in ("ALTER TABLE t RENAME COLUMN v TO w", "RENAME TABLE t TO u", "DROP TABLE t", "TRUNCATE TABLE t"):
            with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
                session("SET SESSION lock_wait_timeout = 1", "SET SESSION innodb_lock_wait_timeout = 1", ddl)


def test_prepared_before_reading_began(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    """It is looked for backwards, over files and a restart that gives table ids out anew."""
    session(TABLE, "CREATE TABLE u LIKE t")
    session(*xa("early", "INSERT INTO t VALUES (1, 'early')"))
    session(*xa("used", "INSERT INTO t VALUES (2, 'first')"), "XA COMMIT 'used'")
    setting = [] if "mariadb" in server.flavour else ["SET SESSION binlog_transaction_compression = ON"]
    session(*setting, *xa("used", "INSERT INTO t VALUES (3, 'again')"))
    server.restart(kill=True)
    session("FLUSH BINARY LOGS", "INSERT INTO u VALUES (1, 'u')", "FLUSH BINARY LOGS")
    behind = beginning(server)
    session("XA COMMIT 'used'", "XA COMMIT 'early'")
    messages = published(server, database, behind)
    assert [message["data"][0]["v"] for message in messages] == ["again", "early"]


def test_purged_and_unknown(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    start = beginning(server)
    session(TABLE, *xa("gone", "INSERT INTO t VALUES (1, 'gone')"))
    session("FLUSH BINARY LOGS")
    file, position = place(server)
    session(*xa("later", "INSERT INTO t VALUES (2, 'later')"), "XA COMMIT 'later'", "XA COMMIT 'gone'")
    assert state(published(server, database, start)) == selected(server, database)
    purge(server, file)
    with pytest.raises(FindingError) as refused:
        published(server, database, StartFile(file=file, position=position))
    assert refused.value.finding.code == "xa-unknown"


def held_in(server: MysqlServer, database: str, session: Callable[..., None]) -> tuple[Prepared, tuple[str, int]]:
    """A prepared transaction, and a place behind it."""
    session(TABLE)
    start = place(server)
    session(*xa("held", "INSERT INTO t VALUES (1, 'held')"))
    scan = BinlogScan(endpoint_of(server), *start)
    [found] = [each for each in scan.transactions() if each.xa]
    assert found.xa is not None
    prepared = Prepared(found.xa[1], found.gtid, found.file, found.start, scan.created, 0)
    session("FLUSH BINARY LOGS", "INSERT INTO t VALUES (9, 'behind')")
    return prepared, place(server)


def test_it_is_found_by_place_by_gtid_and_by_search(
    server: MysqlServer, database: str, session: Callable[..., None]
) -> None:
    """As after a take-over on the same server, on another one, and where nothing is known."""
    prepared, behind = held_in(server, database, session)
    searched: list[str] = []
    rows = HeldRows(endpoint_of(server), identity(server), searching=searched.append)
    found = {}
    for name, known in {"place": prepared, "elsewhere": elsewhere(prepared), "search": None}.items():
        reading = rows(prepared.xid, known, behind)
        assert reading is not None
        found[name] = (replace(reading[0], since_ms=0), b"".join(reading[1]))
    assert set(found.values()) == {(prepared, found["place"][1])}
    assert b"held" in found["place"][1]
    assert len(searched) == (1 if found_by_source(prepared) else 2)


def test_one_that_has_ended_is_not_found(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    prepared, _ = held_in(server, database, session)
    session("XA ROLLBACK 'held'")
    file, position = place(server)
    assert HeldRows(endpoint_of(server), identity(server))(prepared.xid, None, (file, position)) is None


def test_rows_that_the_source_has_purged(server: MysqlServer, database: str, session: Callable[..., None]) -> None:
    prepared, behind = held_in(server, database, session)
    assert lost_rows(endpoint_of(server), [prepared]) == []
    purge(server, behind[0])
    assert [finding.code for finding in lost_rows(endpoint_of(server), [prepared])] == ["xa-purged"]
    for known in (prepared, elsewhere(prepared)):
        with pytest.raises(FindingError, match="X'68656c64'") as refused:
            HeldRows(endpoint_of(server), identity(server))(prepared.xid, known, behind)
        assert refused.value.finding.code == ("xa-purged" if known.file or found_by_source(prepared) else "xa-unknown")
        assert refused.value.finding.kind == "operator"


def elsewhere(prepared: Prepared) -> Prepared:
    """As another server's position has it."""
    return replace(prepared, file="", offset=0, created=0)


def found_by_source(prepared: Prepared) -> bool:
    """A GTID set can ask MySQL for one transaction; a place in MariaDB's domains cannot."""
    return prepared.gtid is not None and ":" in prepared.gtid


def identity(server: MysqlServer) -> str:
    return server_identity(
        dict(server.query("SHOW VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', 'version')"))
    )
