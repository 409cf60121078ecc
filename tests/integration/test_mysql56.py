"""MySQL 5.6 as a source: short GTID events or none, checksums that come and go, the temporal types of 5.5.

Expected values are what the server itself says. Its other types: test_bare_table_maps.py.
"""

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC

import pytest

from cdcd.config.start import Start, StartFile, StartTime
from cdcd.mysql.connection import connect
from cdcd.mysql.dump_request import FIRST_EVENT, DumpRequest
from cdcd.mysql.server import check_grants, check_server, read_status
from cdcd.mysql.start import resolve_start
from deploy.rig.topics import read_committed
from deploy.rig.worker import Instance, caught_up, until
from deploy.stack.home import UNPRIVILEGED
from tests.instances import MakeInstance, source_of
from tests.integration.test_bare_table_maps import AS_5_5
from tests.reading import endpoint_of, executed, opened, read_to_end
from tests.servers import MysqlFactory, MysqlServer
from tests.tailing import rows_of, tail

OLD_TYPES = "id INT PRIMARY KEY, a TIMESTAMP NULL, b DATETIME, c TIME, d INT UNSIGNED"
OLD_ROWS = (
    "(1, '2038-01-19 03:14:07', '9999-12-31 23:59:59', '-838:59:59', 4294967295)",
    "(2, '1970-01-01 00:00:01', '0000-00-00 00:00:00', '-00:00:01', 0)",
    "(3, '0000-00-00 00:00:00', '2024-00-15 10:00:00', '838:59:59', 1)",
    "(4, NULL, NULL, NULL, NULL)",
    "(5, '2001-09-09 01:46:40', '1000-01-01 00:00:00', '100:00:00', 7)",
)

Row = dict[str, str | None]


@pytest.fixture(scope="module", params=["5.6", "as 5.5"])
def server(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server("mysql-5.6", **(AS_5_5 if request.param == "as 5.5" else {}))


@pytest.fixture
def database(server: MysqlServer) -> Iterator[str]:
    with server.database() as name:
        yield name


def test_transactions_have_the_servers_gtids_or_their_place(server: MysqlServer, database: str) -> None:
    before = server.query("SHOW MASTER STATUS")[0]
    server.run(
        "CREATE TABLE t (id INT PRIMARY KEY) ENGINE = InnoDB",
        "INSERT INTO t VALUES (1)",
        "BEGIN",
        "INSERT INTO t VALUES (2)",
        "DELETE FROM t",
        "COMMIT",
        database=database,
    )
    [a, b, *deleted] = tail(server, f"{database}.*")
    assert [message["type"] for message in deleted] == ["DELETE", "DELETE"]
    end = server.query("SHOW MASTER STATUS")[0]
    with opened(endpoint_of(server), DumpRequest(file=before[0], offset=before[1], non_blocking=True)) as dump:
        read = read_to_end(dump)
    assert read.decoder.transactions == 3
    assert (read.decoder.file, read.decoder.end_offset) == end[:2]
    if server.query("SELECT @@gtid_mode")[0][0] == "ON":
        uuid, last = end[4].rsplit(":", 1)[0], int(end[4].rsplit("-", 1)[1])
        assert [message["gtid"] for message in (a, b, *deleted)] == [f"{uuid}:{last - 1}", *[f"{uuid}:{last}"] * 3]
        with opened(endpoint_of(server), DumpRequest(executed(server), non_blocking=True)) as dump:
            assert not read_to_end(dump).gtids
    else:
        assert {message["gtid"] for message in (a, b, *deleted)} == {""}


def test_an_account_is_examined_as_on_new_servers(server: MysqlServer) -> None:
    with connect(endpoint_of(server)) as connection:
        status = read_status(connection)
        assert check_grants(connection) == []
    assert check_server(status) == []
    assert (status.flavour, status.version[:2]) == ("mysql", (5, 6))
    assert status.by_gtid is (status.gtid_mode == "ON")


def test_starts(server: MysqlServer, database: str) -> None:
    """It logs whole seconds, so that a time is told from another only in another second."""
    server.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", database=database)
    server.query("SELECT SLEEP(1.001 - MICROSECOND(NOW(6)) / 1000000)")
    time = server.query("SELECT NOW(6)")[0][0].replace(tzinfo=UTC)
    file, offset = server.query("SHOW MASTER STATUS")[0][:2]
    known = executed(server)
    server.query(f"INSERT INTO {database}.t VALUES (2)")
    with connect(endpoint_of(server)) as connection:
        status = read_status(connection)
        moment = StartTime.model_validate({"time": time.isoformat()})
        starts: tuple[Start, ...] = moment, StartFile(file=file, position=offset)
        for start in starts:
            found = resolve_start(start, connection, status)
            assert (found.file, found.end_offset) == (file, offset)
            assert found.gtid_set == (known if status.by_gtid else None)
        latest, earliest = resolve_start("latest", connection, status), resolve_start("earliest", connection, status)
    assert (latest.file, latest.end_offset) == server.query("SHOW MASTER STATUS")[0][:2]
    assert latest.gtid_set == (executed(server) if status.by_gtid else None)
    assert (earliest.file, earliest.end_offset) == ("binlog.000001", FIRST_EVENT)


def test_checksums_switched_off_and_on(mysql_server: MysqlFactory) -> None:
    server = mysql_server("mysql-5.6")
    with server.database() as database:
        server.run("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
        for i, algorithm in enumerate(("NONE", "CRC32", "NONE", "CRC32")):
            server.query(f"SET GLOBAL binlog_checksum = {algorithm}")
            server.query(f"INSERT INTO {database}.t VALUES ({i})")
        assert [message["data"][0]["id"] for message in tail(server, f"{database}.t")] == ["0", "1", "2", "3"]


@pytest.fixture
def old_table(server: MysqlServer, database: str, mysql_server: MysqlFactory) -> str:
    """A table as MySQL 5.5 left it behind: its files are made by MariaDB, which still can."""
    made = mysql_server("mariadb-10.5", mysql56_temporal_format="OFF")
    with made.database() as elsewhere:
        made.query(f"CREATE TABLE {elsewhere}.old ({OLD_TYPES}) ENGINE = MyISAM CHARACTER SET utf8")
        made.query("FLUSH TABLES")
        for ending in ("frm", "MYD", "MYI"):
            path = server.endpoint.data_dir / database / f"old.{ending}"
            shutil.copyfile(made.endpoint.data_dir / elsewhere / f"old.{ending}", path)
            if os.getuid() == 0:
                os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    return f"{database}.old"


def test_temporal_types_of_5_5(server: MysqlServer, old_table: str) -> None:
    with server.connect(conv={}, charset="utf8") as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '+00:00', show_old_temporals = ON")
        cursor.execute(f"SHOW CREATE TABLE {old_table}")
        assert cursor.fetchone()[1].count("/* 5.5 binary format */") == 3
        cursor.execute(f"INSERT INTO {old_table} VALUES {', '.join(OLD_ROWS)}")
        cursor.execute(f"SELECT * FROM {old_table}")
        rows: dict[str, Row] = {
            row[0]: dict(zip(("id", "a", "b", "c", "d"), row, strict=True)) for row in cursor.fetchall()
        }
        cursor.execute(f"DELETE FROM {old_table}")
    messages = tail(server, old_table)
    assert rows_of(messages, "INSERT") == rows
    assert rows_of(messages, "DELETE") == rows
    assert messages[0]["mysqlType"] == {
        "id": "int(11)",
        "a": "timestamp",
        "b": "datetime",
        "c": "time",
        "d": "int(10) unsigned",
    }


def ids(instance: Instance) -> list[int]:
    """Of table t, in the order of its partitions' records."""
    records = read_committed(instance.bootstrap, [f"cdc.{instance.name}.{instance.database}.t"])
    return [int(json.loads(record.value)["data"][0]["id"]) for record in records]


def test_a_killed_worker_goes_on_without_loss_or_repetition(mysql56: MysqlServer, make_instance: MakeInstance) -> None:
    with mysql56.database() as database:
        options = {"source": source_of(mysql56), "database": database, "tables": ("t",), "start": "earliest"}
        instance = make_instance("old", **options)
        mysql56.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))", database=database)
        for first in (0, 100):
            mysql56.run(*(f"INSERT INTO t VALUES ({n}, 'ä')" for n in range(first, first + 50)), database=database)
            worker = instance.run()
            until(lambda: caught_up(instance), "all is published")
            mysql56.run(f"INSERT INTO t VALUES ({first + 50}, 'x')", database=database)
            worker.kill()
        instance.run()
        until(lambda: caught_up(instance), "all is published")
        assert sorted(ids(instance)) == [*range(51), *range(100, 151)]
        instance.kill_all()
