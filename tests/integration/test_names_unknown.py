"""An instance that meets rows whose names nobody knows any more: what its operator is told, and that each remedy named there helps."""

import json
import re
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from deploy.rig.topics import read_committed, topics_like
from deploy.rig.worker import Instance, Worker, until
from tests.instances import Figures, MakeInstance, source_of
from tests.reading import binlog_end
from tests.servers import KafkaServer, MysqlFactory, MysqlServer

pytestmark = [pytest.mark.prove, pytest.mark.must_show("5.5")]

STATEMENTS = (
    "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)",
    "CREATE TABLE u (id INT PRIMARY KEY)",
    "INSERT INTO u VALUES (1)",
    "INSERT INTO t VALUES (1, 10, 20)",
    "INSERT INTO u VALUES (2)",
    "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
    "INSERT INTO t VALUES (2, 11, 21)",
)
U = [{"id": "1"}, {"id": "2"}]
T = [{"id": "2", "b": "11", "a": "21"}]


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    """Of its own: a setting of it is changed."""
    return mysql_server(binlog_row_metadata="MINIMAL")


@pytest.fixture
def instance(make_instance: MakeInstance, server: MysqlServer) -> Instance:
    """It comes when all is over."""
    made = make_instance("late", source=source_of(server), tables=("*",))
    server.query(f"CREATE DATABASE {made.database}")
    file, position = binlog_end(server)
    server.run(*STATEMENTS, database=made.database)
    made.start = {"file": file, "position": position}
    made.overrides["sink"] = {"topic": "rows.{instance}.{table}", "ddl_topic": None}
    return made


def told(instance: Instance) -> dict[str, Any]:
    """The finding of an instance that runs alone, in /status and, once, in its log."""
    worker = instance.run()
    finding = until(lambda: _finding(worker), "it is told")
    assert worker.stop() == 0
    # All of its log is written.
    assert [line["event"] for line in worker.log() if line.get("finding") == finding["code"]] == ["instance.parked"]
    return dict(finding)


def _finding(worker: Worker) -> dict[str, Any] | None:
    assert worker.poll() is None, worker.said()
    status = worker.status()
    return None if status is None else status["instances"][0]["finding"]


def follow(instance: Instance) -> Worker:
    worker = instance.run(until_end=True)
    assert worker.wait(60) == 0, worker.said()
    return worker


def rows(instance: Instance, kafka: KafkaServer, table: str) -> list[dict[str, str]]:
    """What is published of a table, by its key."""
    topics = topics_like(kafka.bootstrap, f"rows.{instance.name}.{table}")
    found = (
        [json.loads(record.value)["data"][0] for record in read_committed(kafka.bootstrap, topics)] if topics else []
    )
    return sorted(found, key=lambda row: str(row["id"]))


def test_what_is_said(instance: Instance, kafka: KafkaServer, figures: Figures) -> None:
    finding = told(instance)
    figures({"told": f"{finding['what']}. {finding['remedy']}."})
    where = rf"{instance.database}\.t at binlog\.\d+:\d+"
    ddl = r"`ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a` at binlog\.\d+:\d+"
    assert re.fullmatch(
        rf"{where}: the binlog does not name its columns; {ddl} may have changed the table since", finding["what"]
    )
    assert (finding["code"], finding["kind"]) == ("schema-unknown", "operator")
    assert "tables.exclude" in finding["remedy"]
    assert "SET PERSIST binlog_row_metadata = 'FULL'" in finding["remedy"]
    assert (rows(instance, kafka, "u"), rows(instance, kafka, "t")) == (U[:1], []), "all before it is published"


def test_the_table_is_left_out(instance: Instance, kafka: KafkaServer) -> None:
    told(instance)
    instance.overrides["tables"] = {"exclude": [f"{instance.database}.t"]}
    follow(instance)
    assert (rows(instance, kafka, "u"), rows(instance, kafka, "t")) == (U, [])


def test_it_begins_anew_behind_the_place(instance: Instance, server: MysqlServer, kafka: KafkaServer) -> None:
    """As docs/findings.md has it: the position topic is deleted, and `start` names the transaction as one that is known."""
    file, position = told(instance)["what"].split(": ")[0].split(" at ")[1].split(":")
    [(_, _, kind, _, _, gtid)] = server.query(f"SHOW BINLOG EVENTS IN '{file}' FROM {position} LIMIT 1")
    assert kind == "Gtid"
    uuid, number = gtid.split("'")[1].split(":")
    instance.start = {"gtid_set": f"{uuid}:1-{number}"}
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_topics([instance.position_topic])[instance.position_topic].result(30)
    until(lambda: not topics_like(kafka.bootstrap, instance.position_topic), "the topic is gone")
    follow(instance)
    assert (rows(instance, kafka, "u"), rows(instance, kafka, "t")) == (U, T)


def test_it_cannot_come_again(instance: Instance, server: MysqlServer, kafka: KafkaServer) -> None:
    """Once the setting is what the remedy names, nobody has to be there when tables are changed."""
    [statement] = re.findall(r"SET PERSIST \S+ = '\w+'", told(instance)["remedy"])
    try:
        server.query(statement)
        file, position = binlog_end(server)
        server.run(
            "INSERT INTO t VALUES (3, 12, 22)",
            "ALTER TABLE t RENAME COLUMN a TO c",
            "INSERT INTO t VALUES (4, 13, 23)",
            database=instance.database,
        )
        again = Instance(
            f"{instance.name}-again",
            instance.folder,
            instance.source,
            instance.bootstrap,
            instance.database,
            instance.tables,
            start={"file": file, "position": position},
            overrides=instance.overrides,
        )
        follow(again)
    finally:
        server.run("RESET PERSIST", "SET GLOBAL binlog_row_metadata = MINIMAL")
    assert rows(again, kafka, "t") == [{"id": "3", "b": "12", "a": "22"}, {"id": "4", "b": "13", "c": "23"}]
