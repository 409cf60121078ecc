"""Faults of the source and of the way to it: nothing lost, nothing twice, and the worker comes back by itself."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from deploy.rig.load import Load, Shape, create_tables
from deploy.rig.source import Source
from deploy.rig.verify import verify
from deploy.rig.worker import Instance, Worker, caught_up, until
from tests.chaos.kill_loop import hits, positions, run_of
from tests.instances import MakeInstance, source_of
from tests.proxy import Proxy
from tests.servers import MysqlFactory, MysqlServer

SMALL_PARTS = {"commit": {"max_bytes": "256KiB"}}
SHAPE = Shape(sessions=1, rate=30, huge_rows=3_000, huge_every=30, ddl_every=40)
RENUMBERED = 1 << 24


def _running(worker: Worker, timeout: float = 60) -> None:
    until(lambda: worker.metric("cdcd_source_connected") == 1, f"it runs\n{worker.said()}", timeout)


def _caught_up(instance: Instance) -> None:
    until(lambda: caught_up(instance), f"all is published\n{instance.workers[-1].said()}")


def _huge(source: Source, database: str, rows: int, first: int) -> None:
    """One transaction of that many inserts."""
    with source.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION cte_max_recursion_depth = 1000000")
        cursor.execute(
            "INSERT INTO account (id, gen_id, gen_no, ver, name, amount)"
            " WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)"
            " SELECT %s + i, 1, 1, 1, CONCAT('row ', i), i FROM n",
            (rows, first),
        )


def _wide(source: Source, database: str, rows: int) -> None:
    """One transaction of wide rows: more than all sockets' buffers hold."""
    with source.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION cte_max_recursion_depth = 1000000")
        cursor.execute(
            "INSERT INTO item WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)"
            " SELECT i, 'b', 1, 1, 1, REPEAT('x', 1500), NOW(3) FROM n",
            (rows,),
        )


def _kill_the_dump(source: Source, worker: Worker) -> None:
    """The only one, and wait for the next. Its command has been sent; the source may not have begun it."""
    before = worker.metric("cdcd_takeovers_total") or 0
    assert until(lambda: _kill_dumps(source), "its dump has begun") == 1
    until(lambda: (worker.metric("cdcd_takeovers_total") or 0) > before, "it comes back")


def _kill_dumps(source: Source) -> int:
    """How many there were."""
    with source.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        dumps = [row[0] for row in cursor.fetchall() if str(row[4]).startswith("Binlog Dump")]
        for thread in dumps:
            with contextlib.suppress(pymysql.err.OperationalError):  # gone already
                cursor.execute(f"KILL {thread}")
    return len(dumps)


def test_a_dump_killed_idle_and_inside_a_transaction_goes_on_at_the_row(
    make_instance: MakeInstance, mysql_server: MysqlFactory
) -> None:
    source = source_of(mysql_server())
    instance = make_instance("dump", source=source, overrides={"sink": SMALL_PARTS})
    create_tables(source, instance.database)
    start = source.end_of_binlog()
    instance.start = {"gtid_set": source.executed()}
    worker = instance.run(failpoint="big_txn.between_parts@4=sleep:2")
    _running(worker)
    _kill_the_dump(source, worker)
    _wide(source, instance.database, 12_000)
    until(lambda: bool(hits(worker)), "it is inside the transaction")
    _kill_the_dump(source, worker)
    _caught_up(instance)
    assert worker.stop() == 0
    assert any(record["rows_done"] for record in positions(instance))
    report = verify(run_of(instance, start))
    assert report.passed, report.account()


def test_torn_reset_and_silent_connections(make_instance: MakeInstance, mysql_server: MysqlFactory) -> None:
    """Single bytes, resets inside events, and a line that is up but dead: noticed within three heartbeats."""
    source = source_of(mysql_server())
    with Proxy(source.host, source.port) as proxy:
        through = {"host": "127.0.0.1", "port": proxy.port, "heartbeat": "1s"}
        instance = make_instance("line", source=source, overrides={"source": through, "sink": SMALL_PARTS})
        create_tables(source, instance.database)
        start = source.end_of_binlog()
        instance.start = {"gtid_set": source.executed()}
        with _load(instance) as load:
            proxy.slice = 1
            worker = instance.run()
            _publishes(worker)
            proxy.slice, proxy.reset_after = 0, (5_000, 50_000)
            _kill_dumps(source)
            until(lambda: proxy.resets >= 2, "connections are reset")
            proxy.reset_after = None
            _publishes(worker)
            proxy.silent = True
            until(lambda: "not even a heartbeat in 3 seconds" in str(_finding(worker)), "the silence is noticed")
            proxy.silent = False
            history = load.stop()
            _caught_up(instance)
        assert worker.stop() == 0
        report = verify(run_of(instance, start), history)
        assert report.passed, report.account()


@contextlib.contextmanager
def _load(instance: Instance) -> Iterator[Load]:
    """It rests at the end, however that comes."""
    load = Load(instance.source, instance.database, 14, SHAPE)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def _publishes(worker: Worker) -> None:
    """By two commits at least, so that the connection it has now works."""
    for _ in range(2):
        before = worker.metric("cdcd_published_records_total") or 0
        until(
            lambda before=before: (worker.metric("cdcd_published_records_total") or 0) > before,  # type: ignore[misc]
            f"it publishes\n{worker.said()}",
        )


def test_a_crashed_server_uses_table_ids_again(make_instance: MakeInstance, mysql_server: MysqlFactory) -> None:
    """SIGKILL: no ROTATE says goodbye, and ids that meant one table mean another after the restart."""
    server = mysql_server()
    source = source_of(server)
    instance = make_instance("crash", source=source)
    create_tables(source, instance.database)
    start = source.end_of_binlog()
    instance.start = {"gtid_set": source.executed()}
    worker = instance.run()
    for table, row in _ROWS.items():
        source.run(f"INSERT INTO {table} VALUES ({row.format(1)})", database=instance.database)
    _caught_up(instance)
    server.stop(kill=True)
    until(lambda: _state(worker) == "retrying", "it is told")
    server.start()
    for table, row in reversed(_ROWS.items()):
        source.run(f"INSERT INTO {table} VALUES ({row.format(2)})", database=instance.database)
    _caught_up(instance)
    assert worker.stop() == 0
    report = verify(run_of(instance, start))
    assert report.passed, report.account()
    assert report.messages == 2 * len(_ROWS)


_ROWS = {
    "account": "{0}, 1, {0}, 1, 'n', 1.5, NULL, 'new'",
    "item": "{0}, 'b', 1, {0}, 1, 'x', NOW(3)",
    "ledger": "1, {0}, 'crash'",
}


def _state(worker: Worker) -> str:
    """The instance's state in /status."""
    status = worker.status()
    return "" if status is None else str(status["instances"][0]["state"])


def _finding(worker: Worker) -> dict[str, Any]:
    status = worker.status()
    return {} if status is None else status["instances"][0]["finding"] or {}


@pytest.fixture
def pair(mysql_server: MysqlFactory) -> tuple[MysqlServer, MysqlServer]:
    """A primary and its replica."""
    first, second = mysql_server(server_id=11), mysql_server(server_id=12)
    second.run(
        f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{first.host}', SOURCE_PORT = {first.port},"
        f" SOURCE_USER = '{first.user}', SOURCE_PASSWORD = '{first.password}', SOURCE_AUTO_POSITION = 1,"
        " GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1",
        "START REPLICA",
    )
    return first, second


def _applied(pair: tuple[MysqlServer, MysqlServer]) -> None:
    """The replica has what the primary has."""
    executed = "SELECT @@GLOBAL.gtid_executed"
    until(lambda: pair[0].query(executed) == pair[1].query(executed), "the replica has applied everything")


def test_a_replica_takes_over_inside_a_transaction(
    make_instance: MakeInstance, pair: tuple[MysqlServer, MysqlServer]
) -> None:
    """Half of a transaction from one server, the rest from its replica; then only one that is behind: nothing is skipped."""
    first, second = source_of(pair[0]), source_of(pair[1])
    hosts = tuple(f"{server.host}:{server.port}" for server in pair)
    instance = make_instance("failover", source=first, hosts=hosts, overrides={"sink": SMALL_PARTS})
    create_tables(first, instance.database)
    _applied(pair)
    start = second.end_of_binlog()
    instance.start = {"gtid_set": first.executed()}
    worker = instance.run(failpoint="big_txn.between_parts@5=pause")
    _running(worker)
    _huge(first, instance.database, 30_000, 10**6)
    until(lambda: bool(hits(worker)), "it is inside the transaction")
    _applied(pair)
    pair[0].stop(kill=True)
    worker.signal(signal.SIGCONT)
    instance.source = second
    _caught_up(instance)
    pair[1].run("STOP REPLICA", "SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
    _huge(second, instance.database, 10, 10**7)
    _caught_up(instance)
    pair[0].start()
    pair[1].stop(kill=True)
    until(lambda: _finding(worker).get("code") == "source-behind", f"it waits\n{worker.said()}")
    assert "cannot be reached" in _finding(worker)["what"], "what is wrong with the other server is not told"
    pair[1].start()
    _running(worker)
    _huge(second, instance.database, 10, 2 * 10**7)
    _caught_up(instance)
    assert worker.stop() == 0
    report = verify(run_of(instance, start))
    # Not V1: a replica's binlog tells when it committed itself, a message when the transaction was first committed.
    assert report.verdicts["V4"], report.account()
    assert not report.duplicated.count, report.account()
    assert report.messages == report.counted.changes == 30_020
    assert positions(instance)[-1]["seq"] == report.messages + RENUMBERED
