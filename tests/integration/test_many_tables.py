"""Thousands of tables whose binlog names no columns: looked up once, remembered from then on, in the memory of one instance."""

import json
import time
from typing import Any

import pytest

from deploy.rig.topics import read_committed
from deploy.rig.worker import Instance, Worker
from tests.instances import Figures, MakeInstance, source_of
from tests.reading import binlog_end
from tests.servers import KafkaServer, MysqlServer

PEAK_MB = 200
"""Resident, of the worker (design.md section 5)."""
ROWS_EACH = 3


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


def follow(instance: Instance) -> tuple[Worker, float]:
    began = time.monotonic()
    worker = instance.run(until_end=True)
    assert worker.wait(600) == 0, worker.said()
    return worker, round(time.monotonic() - began, 2)


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


def run(instance: Instance, minimal: MysqlServer, kafka: KafkaServer, count: int) -> dict[str, Any]:
    file, position = binlog_end(minimal)
    instance.start = {"file": file, "position": position}
    instance.overrides["sink"] = {"topic": "rows.{instance}"}
    make_tables(minimal, instance.database, count)
    figures: dict[str, Any] = {"tables": count}
    for passed, rows in enumerate([range(ROWS_EACH), range(ROWS_EACH, 2 * ROWS_EACH)]):
        insert(minimal, instance.database, count, rows)
        worker, seconds = follow(instance)
        assert worker.peak_rss_mb < PEAK_MB
        name = "remembered" if passed else "looked_up"
        figures |= {f"{name}_seconds": seconds, f"{name}_peak_mb": round(worker.peak_rss_mb)}
    check(kafka, instance, count, 2 * ROWS_EACH)
    minimal.query(f"DROP DATABASE {instance.database}")
    return figures


@pytest.mark.must_show("5.5")
def test_hundreds_of_tables(
    make_instance: MakeInstance, minimal: MysqlServer, kafka: KafkaServer, figures: Figures
) -> None:
    instance = make_instance("many", source=source_of(minimal), tables=("*",))
    figures(run(instance, minimal, kafka, 300))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.must_show("5.5")
def test_20_000_tables(make_instance: MakeInstance, minimal: MysqlServer, kafka: KafkaServer, figures: Figures) -> None:
    instance = make_instance("many", source=source_of(minimal), tables=("*",))
    figures(run(instance, minimal, kafka, 20_000))
