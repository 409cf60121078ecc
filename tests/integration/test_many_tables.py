"""Thousands of tables whose binlog names no columns: looked up once, remembered from then on, in the memory of one instance."""

import json
import time
from typing import Any

import pytest

from deploy.rig.topics import read_committed
from deploy.rig.worker import Instance
from tests.instances import Figures, MakeInstance, source_of
from tests.reading import binlog_end
from tests.servers import KafkaServer, MysqlFactory, MysqlServer

PEAK_MB = 200
"""Resident, of a worker with few tables (design.md section 5)."""
TABLE_KB = 10
"""More for each table, once all have had changes."""
ROWS = 60_000
"""Of each reading that is timed."""


def make_tables(server: MysqlServer, database: str, count: int) -> None:
    server.query(f"CREATE DATABASE {database}")
    kinds = ["INT", "VARCHAR(40)", "DATETIME", "DECIMAL(10,2)", "BIGINT UNSIGNED", "TEXT", "ENUM('a','b')", "DOUBLE"]
    columns = ", ".join(f"c{number}_{{0}} {kind}" for number, kind in enumerate(kinds))
    server.run(
        *(f"CREATE TABLE t{number} (id INT PRIMARY KEY, {columns.format(number)})" for number in range(count)),
        database=database,
    )


def insert(server: MysqlServer, database: str, count: int, rows: range) -> None:
    """Rows of all tables in turn, many tables in a transaction."""
    with server.connect(database=database, autocommit=False) as connection, connection.cursor() as cursor:
        for row in rows:
            for number in range(count):
                # Neighbours are not next to each other.
                table = number * 7919 % count
                cursor.execute(f"INSERT INTO t{table} (id, c1_{table}) VALUES ({row}, 'x')")
                if number % 100 == 99:
                    connection.commit()
        connection.commit()


def follow(instance: Instance) -> tuple[float, int]:
    """Seconds it took, and megabytes at most."""
    began = time.monotonic()
    worker = instance.run(until_end=True)
    assert worker.wait(600) == 0, worker.said()
    return round(time.monotonic() - began, 2), round(worker.peak_rss_mb)


def check(kafka: KafkaServer, instance: Instance, count: int, rows: int) -> None:
    """Each row once, under the names of its own table."""
    found: set[tuple[str, str]] = set()
    for record in read_committed(kafka.bootstrap, [f"rows.{instance.name}"]):
        message: dict[str, Any] = json.loads(record.value)
        number, [row] = message["table"][1:], message["data"]
        assert set(row) == {"id", *(f"c{column}_{number}" for column in range(8))}
        assert row[f"c1_{number}"] == "x"
        assert (number, row["id"]) not in found
        found.add((number, row["id"]))
    assert len(found) == count * rows


def begin(instance: Instance, server: MysqlServer, count: int) -> None:
    file, position = binlog_end(server)
    instance.start = {"file": file, "position": position}
    instance.overrides["sink"] = {"topic": "rows.{instance}", "ddl_topic": None}
    make_tables(server, instance.database, count)


def run(instance: Instance, server: MysqlServer, kafka: KafkaServer, count: int, rows: int) -> dict[str, Any]:
    """`rows` of each table are read twice over: their names are looked up, and then remembered.

    Each reading is a new process, which has to plan every table once: `rows_per_second` has that in it.
    """
    begin(instance, server, count)
    insert(server, instance.database, count, range(rows))
    looked_up, first_mb = follow(instance)
    insert(server, instance.database, count, range(rows, 2 * rows))
    remembered, mb = follow(instance)
    start, _ = follow(instance)
    check(kafka, instance, count, 2 * rows)
    facts = list(read_committed(kafka.bootstrap, [f"__cdcd_schemas.default.{instance.name}"]))
    assert len({fact.key for fact in facts}) == count + 1, "a span for each table, and the stretch"
    figures: dict[str, Any] = {
        "tables": count,
        "rows": count * rows,
        "looked_up_seconds": looked_up,
        "looked_up_peak_mb": first_mb,
        "remembered_seconds": remembered,
        "remembered_peak_mb": mb,
        "start_seconds": start,
        "rows_per_second": round(count * rows / max(remembered - start, 0.01)),
        "topic_mb": round(sum(len(fact.key or b"") + len(fact.value) for fact in facts) / 1e6, 2),
    }
    assert max(first_mb, mb) < PEAK_MB + TABLE_KB * count / 1000, figures
    return figures


@pytest.mark.must_show("5.5")
def test_a_hundred_tables(
    make_instance: MakeInstance, minimal: MysqlServer, kafka: KafkaServer, figures: Figures
) -> None:
    """Their names are looked up in a few questions."""
    instance = make_instance("many", source=source_of(minimal), tables=("*",))
    begin(instance, minimal, 100)
    insert(minimal, instance.database, 100, range(3))
    seconds, mb = follow(instance)
    assert mb < PEAK_MB
    check(kafka, instance, 100, 3)
    figures({"tables": 100, "rows": 300, "looked_up_seconds": seconds, "looked_up_peak_mb": mb})


@pytest.fixture(scope="module")
def roomy(mysql_server: MysqlFactory) -> MysqlServer:
    """One that can make and hold thousands of tables in little time."""
    caches = {"table_open_cache": 30_000, "table_definition_cache": 30_000}
    return mysql_server(binlog_row_metadata="MINIMAL", innodb_file_per_table="OFF", **caches)


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.must_show("5.5")
@pytest.mark.parametrize("tables", [20, 20_000])
def test_20_000_tables(
    make_instance: MakeInstance, roomy: MysqlServer, kafka: KafkaServer, figures: Figures, tables: int
) -> None:
    """Beside what as many rows of a few tables take."""
    instance = make_instance("many", source=source_of(roomy), tables=("*",))
    figures(run(instance, roomy, kafka, tables, ROWS // tables))
