"""One instance's place in a real Kafka cluster, and what a consumer sees there."""

import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from cdcd.binlog.position import Position, PositionRecord
from cdcd.kafka.at_least_once import AtLeastOnceSink
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.exactly_once import ExactlyOnceSink
from cdcd.kafka.positions import PositionTopic, position_topic_name, transactional_id
from cdcd.kafka.reading import CommittedReader
from deploy.rig.topics import Record, read_committed


def record(epoch: int, seq: int) -> PositionRecord:
    """A position told from others by its epoch and seq."""
    at = Position(server_uuid="s", gtid_set=None, file="binlog.000001", start_offset=4, end_offset=4 + seq)
    return PositionRecord(epoch=epoch, nonce="n", position=at, seq=seq)


def numbered(*numbers: int) -> list[bytes]:
    return [b"row %d" % number for number in numbers]


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Return when `happened()` is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not happen within {seconds:g} s")
        time.sleep(0.02)


def positions_in(config: ClientConfig, topic: str) -> PositionTopic:
    return PositionTopic(CommittedReader(config, topic), topic)


class Place:
    """A topic for rows, a position topic and a transactional id that no other test has."""

    def __init__(
        self, bootstrap: str, *, config: ClientConfig | None = None, topic_config: dict[str, str] | None = None
    ) -> None:
        self.bootstrap = bootstrap
        self.config = config or {"bootstrap.servers": bootstrap}
        self.name = f"k-{secrets.token_hex(4)}"
        self.position_topic = position_topic_name("test", self.name)
        self.transactional_id = transactional_id("test", self.name)
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._create(self.name, 4, topic_config or {})
        self._create(self.position_topic, 1, {"cleanup.policy": "compact"})

    def exactly_once(self, **options: Any) -> ExactlyOnceSink:
        return ExactlyOnceSink(self.config, self.transactional_id, self.position_topic, **options)

    def at_least_once(self, **options: Any) -> AtLeastOnceSink:
        return AtLeastOnceSink(self.config, self.transactional_id, self.position_topic, **options)

    def stored(self, patience: float = 20.0) -> PositionRecord | None:
        """`patience`: a producer is told of its commit before the marker stands, which takes a busy broker its time."""
        return positions_in(self.config, self.position_topic).read(patience=patience)

    def records(self) -> list[Record]:
        """All rows that a read_committed consumer sees."""
        return list(read_committed(self.bootstrap, [self.name]))

    def values(self) -> list[bytes]:
        return sorted(found.value for found in self.records())

    def headers(self, partition: int = 0) -> list[object]:
        """Headers of each message of a partition, from its beginning to the end as it is now."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": self.name, "enable.partition.eof": True}
        found: list[object] = []
        with Consumer(settings) as consumer:
            consumer.assign([TopicPartition(self.name, partition, 0)])
            while (message := consumer.poll(30)) is not None and message.error() is None:
                found.append(message.headers())
        return found

    def _create(self, topic: str, partitions: int, config: dict[str, str]) -> None:
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(30)
