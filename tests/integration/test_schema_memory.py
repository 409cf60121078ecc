"""Whole workers on a source whose binlog names no columns: what they remember in Kafka, over take-overs and orders to go back."""

import json
from collections import Counter

import pytest

from deploy.rig.topics import read_committed, topics_like
from deploy.rig.worker import caught_up, until
from tests.chaos.kill_loop import positions
from tests.instances import source_of
from tests.lone_workers import MakeStage, Stage
from tests.servers import KafkaServer, MysqlFactory, MysqlServer
from tests.stories import STORIES, Row, Teller

FEW = ("swap columns", "swap tables", "enum labels")


@pytest.fixture(scope="module")
def minimal(mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server(binlog_row_metadata="MINIMAL")


@pytest.fixture
def stage(make_stage: MakeStage, minimal: MysqlServer) -> Stage:
    """One that reads the databases `story_*`, from now on."""
    made = make_stage("reminded")
    made.instance.source = source_of(minimal)
    minimal.query("FLUSH PRIVILEGES")  # a server that is new has no GTID yet
    made.instance.start = {"gtid_set": made.instance.source.executed()}
    made.instance.overrides |= {
        "tables": {"include": ["story_*.*"]},
        "sink": {"topic": "rows.{instance}.{database}.{table}"},
    }
    made.define()
    made.schedule("a")
    return made


Told = Counter[tuple[str, str, str]]
"""(database, table, values) of inserted rows."""


def told(database: str, rows: list[tuple[str, dict[str, str | None]]]) -> Told:
    return Counter((database, table, json.dumps(row, sort_keys=True)) for table, row in rows)


def published(stage: Stage, kafka: KafkaServer, expected: Told) -> Told:
    """What is in the topics, of the rows that the stories look at."""
    wanted = {(database, table, json.loads(row)["id"]) for database, table, row in expected}
    found: Told = Counter()
    for record in read_committed(kafka.bootstrap, topics_like(kafka.bootstrap, f"rows.{stage.name}.")):
        message = json.loads(record.value)
        if message["type"] == "INSERT" and (message["database"], message["table"], message["data"][0]["id"]) in wanted:
            found[message["database"], message["table"], json.dumps(message["data"][0], sort_keys=True)] += 1
    return found


def run(stage: Stage, kafka: KafkaServer, minimal: MysqlServer, stories: tuple[str, ...]) -> None:
    worker, expected = stage.worker("a").running(), Told()
    for number, story in enumerate(stories):
        database = f"story_{number}"
        minimal.query(f"CREATE DATABASE {database}")
        teller = Teller(minimal, database)
        for step in STORIES[story]:
            teller.tell(step)
            if isinstance(step, Row) or step == "COMMIT":
                until(lambda: caught_up(stage.instance), "the row is published", every=0.05)
        teller.close()
        expected += told(database, teller.expected)
        if number % 3 == 0:  # what was learnt from now on is read from the topic
            worker.kill()
            worker = stage.worker("a").running()
    assert published(stage, kafka, expected) == expected
    worker.ask_to_stop()
    worker.ended("stopped")
    assert f"__cdcd_schemas.{stage.instance.cluster}.{stage.name}" in positions(stage.instance)[-1]["partitions"]
    stage.fleet.tree.request(stage.name, "set_position", position=stage.instance.start)
    worker = stage.worker("a").running()
    until(lambda: caught_up(stage.instance), "everything is published again", every=0.3)
    worker.ask_to_stop()
    worker.ended("stopped")
    assert published(stage, kafka, expected) == expected + expected
    for number in range(len(stories)):
        minimal.query(f"DROP DATABASE story_{number}")


@pytest.mark.must_show("5.5")
def test_some_stories(stage: Stage, kafka: KafkaServer, minimal: MysqlServer) -> None:
    run(stage, kafka, minimal, FEW)


@pytest.mark.prove
@pytest.mark.must_show("5.5")
def test_all_stories(stage: Stage, kafka: KafkaServer, minimal: MysqlServer) -> None:
    run(stage, kafka, minimal, tuple(story for story in STORIES if story not in FEW))
