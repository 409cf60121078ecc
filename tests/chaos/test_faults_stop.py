"""A stop finds the worker in the middle of something: what it stores must not be ahead of what it published."""

import signal

from deploy.rig.load import create_tables
from deploy.rig.source import Source
from deploy.rig.verify import verify
from deploy.rig.worker import Instance, Worker, until
from tests.chaos.kill_loop import finish, run_of
from tests.instances import MakeInstance, source_of
from tests.proxy import Proxy
from tests.servers import MysqlFactory

COM_BINLOG_DUMP = 0x12


def _through(proxy: Proxy) -> dict[str, object]:
    return {"source": {"host": "127.0.0.1", "port": proxy.port}}


def _rows(source: Source, database: str, accounts: int, *, then_item: bool) -> None:
    """One transaction: many rows of one table, then one of another."""
    with source.connect(database, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION cte_max_recursion_depth = 100000")
        cursor.execute(
            "INSERT INTO account (id, gen_id, gen_no, ver, name, amount)"
            " WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)"
            " SELECT %s + i, 1, 1, 1, CONCAT('row ', i), i FROM n",
            (accounts, accounts * 1000),
        )
        if then_item:
            cursor.execute("INSERT INTO item VALUES (1, 'b', 1, 1, 1, 'x', NOW(3))")
        connection.commit()


def _published(worker: Worker) -> bool:
    return bool(worker.metric("cdcd_published_records_total"))


def test_a_stop_during_a_lookup_of_names_stores_no_row_that_is_not_published(
    make_instance: MakeInstance, mysql_server: MysqlFactory
) -> None:
    """Rows of the same transaction are decoded but not handed to Kafka when the lookup is broken off."""
    source = source_of(mysql_server(binlog_row_metadata="MINIMAL"))
    with Proxy(source.host, source.port) as proxy:
        instance: Instance = make_instance("stop", source=source, overrides=_through(proxy))
        create_tables(source, instance.database)
        start = source.end_of_binlog()
        instance.start = {"gtid_set": source.executed()}
        worker = instance.run()
        _rows(source, instance.database, 10, then_item=False)
        until(lambda: _published(worker), f"the names of the first table are known\n{worker.said()}")
        worker.signal(signal.SIGSTOP)
        _rows(source, instance.database, 20_000, then_item=True)
        proxy.swallow = COM_BINLOG_DUMP  # the search for DDL since; the instance itself dumps by GTID
        worker.signal(signal.SIGCONT)
        until(lambda: proxy.swallowed > 0, "the names of the second table are looked for")
        assert worker.stop() == 0, worker.said()
        proxy.swallow = 0
        finish(instance)
        report = verify(run_of(instance, start))
        assert report.passed, report.account()
