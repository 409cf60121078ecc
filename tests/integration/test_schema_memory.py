"""Whole workers on a source whose binlog names no columns: what they remember in Kafka, over take-overs and orders to go back."""

import json
import secrets
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from deploy.rig.topics import read_committed
from deploy.rig.worker import until
from tests.instances import Figures, source_of
from tests.lone_workers import LoneWorker, MakeStage, Stage
from tests.reading import binlog_end
from tests.servers import KafkaServer, MysqlServer
from tests.stories import STORIES, Row, Teller

FEW = ("swap columns",)


@pytest.fixture
def stage(make_stage: MakeStage, minimal: MysqlServer) -> Stage:
    """One that reads the databases `story_*`, from now on."""
    made = make_stage(f"reminded-{secrets.token_hex(3)}")
    made.instance.source = source_of(minimal)
    file, position = binlog_end(minimal)
    made.instance.start = {"file": file, "position": position}
    made.instance.overrides |= {
        "tables": {"include": ["story_*.*"]},
        "sink": {"topic": "rows.{instance}"},
    }
    made.define()
    made.schedule("a")
    return made


class Positions:
    """The stage's position topic, followed as it grows."""

    def __init__(self, stage: Stage, bootstrap: str) -> None:
        self._stage = stage
        self.newest = ""
        settings = {"bootstrap.servers": bootstrap, "group.id": stage.name, "isolation.level": "read_committed"}
        self._consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": False})

    def follow(self, worker: LoneWorker, *, anew: bool = False) -> None:
        """Until the worker has published all that the source has executed by now; `anew`: in a later holding than the last."""
        epoch = json.loads(self.newest)["epoch"] + 1 if anew else 0
        if not self.newest:
            self._consumer.assign([TopicPartition(self._stage.instance.position_topic, 0, 0)])
        until(lambda: self._caught_up(worker, epoch), "the rows are published", every=0)

    def close(self) -> None:
        self._consumer.close()

    def _caught_up(self, worker: LoneWorker, epoch: int) -> bool:
        assert worker.poll() is None, f"{worker.farewell}\n{worker.said()}"
        while (message := self._consumer.poll(0.01)) is not None:
            assert message.error() is None
            self.newest = (message.value() or b"").decode()
        if not self.newest or (record := json.loads(self.newest))["epoch"] < epoch:
            return False
        return self._stage.instance.source.has_executed_only(record["gtid_set"])


@pytest.fixture
def positions(stage: Stage, kafka: KafkaServer) -> Iterator[Positions]:
    made = Positions(stage, kafka.bootstrap)
    yield made
    made.close()


Told = Counter[tuple[str, str, str]]
"""(database, table, values) of inserted rows."""


def told(database: str, rows: list[tuple[str, dict[str, str | None]]]) -> Told:
    return Counter((database, table, json.dumps(row, sort_keys=True)) for table, row in rows)


def published(stage: Stage, kafka: KafkaServer, expected: Told) -> Told:
    """What is in the topics, of the rows that the stories look at."""
    wanted = {(database, table, json.loads(row)["id"]) for database, table, row in expected}
    found: Told = Counter()
    for record in read_committed(kafka.bootstrap, [f"rows.{stage.name}"]):
        message = json.loads(record.value)
        if message["type"] == "INSERT" and (message["database"], message["table"], message["data"][0]["id"]) in wanted:
            found[message["database"], message["table"], json.dumps(message["data"][0], sort_keys=True)] += 1
    return found


def tell(story: str, database: str, minimal: MysqlServer, worker: LoneWorker, positions: Positions) -> Told:
    """Each row is published before the next statement."""
    minimal.query(f"CREATE DATABASE {database}")
    teller = Teller(minimal, database)
    for step in STORIES[story]:
        teller.tell(step)
        if isinstance(step, Row) or step == "COMMIT":
            positions.follow(worker)
    teller.close()
    return told(database, teller.expected)


def run(
    stage: Stage, kafka: KafkaServer, minimal: MysqlServer, positions: Positions, stories: tuple[str, ...]
) -> dict[str, int]:
    worker, expected = stage.worker("a").running(), Told()
    for number, story in enumerate(stories):
        expected += tell(story, f"story_{number}", minimal, worker, positions)
        if number % 3 == 0:  # what was learnt from now on is read from the topic
            worker.kill()
            worker = stage.worker("a").running()
    assert published(stage, kafka, expected) == expected
    worker.ask_to_stop()
    worker.ended("stopped")
    topic = f"__cdcd_schemas.{stage.instance.cluster}.{stage.name}"
    assert topic in json.loads(positions.newest)["partitions"]
    stage.fleet.tree.request(stage.name, "set_position", position=stage.instance.start)
    worker = stage.worker("a").running()
    positions.follow(worker, anew=True)
    worker.ask_to_stop()
    worker.ended("stopped")
    assert published(stage, kafka, expected) == expected + expected
    for number in range(len(stories)):
        minimal.query(f"DROP DATABASE story_{number}")
    facts = list(read_committed(kafka.bootstrap, [topic]))
    return {"stories": len(stories), "rows": expected.total(), "workers": len(stage.workers), "facts": len(facts)}


@pytest.mark.must_show("5.5")
def test_a_story(
    stage: Stage, kafka: KafkaServer, minimal: MysqlServer, positions: Positions, figures: Figures
) -> None:
    figures(run(stage, kafka, minimal, positions, FEW))


@pytest.mark.prove
@pytest.mark.must_show("5.5")
def test_all_stories(
    stage: Stage, kafka: KafkaServer, minimal: MysqlServer, positions: Positions, figures: Figures
) -> None:
    figures(run(stage, kafka, minimal, positions, tuple(story for story in STORIES if story not in FEW)))
