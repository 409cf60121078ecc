"""Everything a read_committed consumer sees, from the beginning of topics to their end as it is now."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

DECISION_SECONDS = 10.0
"""So long the markers of a commit may be under way; what is undecided then is a transaction that somebody left open."""

_LEADER_SECONDS = 10.0
_NO_LEADER_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
"""What a broker says, for a moment, of a topic that was made just now or of one whose leader died."""

_QUIET = {"log_level": 2, "socket.timeout.ms": 10000}


@dataclass(frozen=True, slots=True)
class Record:
    """One message as it lies in its partition."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp_ms: int = 0
    """When the producer made it."""


class OpenTransaction(AssertionError):
    """Records lie behind the last stable offset: somebody left a transaction open."""


def topics_like(bootstrap: str, prefix: str) -> list[str]:
    """Names of the topics that start with `prefix`, sorted."""
    listed = AdminClient({"bootstrap.servers": bootstrap, **_QUIET}).list_topics(timeout=30).topics
    return sorted(name for name in listed if name.startswith(prefix))


def partitions_of(bootstrap: str, topics: list[str]) -> list[TopicPartition]:
    """KeyError for a topic that there is not, nor within seconds: one that was made just now is not known to all brokers yet."""
    client, deadline = AdminClient({"bootstrap.servers": bootstrap, **_QUIET}), time.monotonic() + _LEADER_SECONDS
    while True:
        listed = client.list_topics(timeout=30).topics
        if all(topic in listed for topic in topics) or time.monotonic() > deadline:
            return [TopicPartition(topic, number, 0) for topic in topics for number in sorted(listed[topic].partitions)]
        time.sleep(0.05)


def read_committed(bootstrap: str, topics: list[str], timeout: float = 120) -> Iterator[Record]:
    """All committed records of `topics`, each partition in its order.

    Raises OpenTransaction when a partition's end cannot be reached because a transaction is still open, not one that
    began meanwhile; TimeoutError after `timeout` seconds without the end.
    """
    places = partitions_of(bootstrap, topics)
    decided = _await_decisions(bootstrap, places)
    yield from read_records(bootstrap, topics, "read_committed", timeout)
    if not decided and (undecided := _undecided(bootstrap, places)) is not None:
        raise OpenTransaction(undecided)


def read_records(bootstrap: str, topics: list[str], isolation: str, timeout: float = 120) -> Iterator[Record]:
    """All records of `topics` at this isolation level, each partition in its order. TimeoutError as above."""
    places = partitions_of(bootstrap, topics)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"proof-{uuid.uuid4()}",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.max.bytes": 16 << 20,
            **_QUIET,
        }
    )
    try:
        consumer.assign(places)
        yield from _until_end(consumer, len(places), time.monotonic() + timeout)
    finally:
        consumer.close()


def _until_end(consumer: Consumer, partitions: int, deadline: float) -> Iterator[Record]:
    ended: set[tuple[str | None, int | None]] = set()
    while len(ended) < partitions:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{partitions - len(ended)} partitions have not reached their end")
        for message in consumer.consume(5000, 0.2):
            error = message.error()
            if error is None:
                yield _record(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
                ended.add((message.topic(), message.partition()))
            elif error.code() not in _NO_LEADER_YET:
                raise RuntimeError(str(error))


def _record(message: Message) -> Record:
    topic, partition, offset, value = message.topic(), message.partition(), message.offset(), message.value()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    assert isinstance(value, bytes), f"a tombstone at {topic}[{partition}]@{offset}"
    key = message.key()
    assert key is None or isinstance(key, bytes)
    return Record(topic, partition, offset, key, value, message.timestamp()[1])


def committed(bootstrap: str, topics: list[str]) -> int:
    """How far all partitions of `topics` together have come for a read_committed consumer."""
    return sum(ends(bootstrap, partitions_of(bootstrap, topics), "read_committed").values())


def _await_decisions(bootstrap: str, places: list[TopicPartition]) -> bool:
    """A producer is told of its commit before the markers stand in all partitions: a reader that came between would miss the last ones.

    Looked at before the reading: a look afterwards would find the markers that the reading did not. False: something
    stayed undecided.
    """
    deadline = time.monotonic() + DECISION_SECONDS
    while _undecided(bootstrap, places):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def open_transaction(bootstrap: str, topic: str) -> bool:
    """Whether the topic holds records that are neither committed nor aborted, at this moment."""
    return _undecided(bootstrap, partitions_of(bootstrap, [topic])) is not None


def _undecided(bootstrap: str, places: list[TopicPartition]) -> str | None:
    written = ends(bootstrap, places, "read_uncommitted")
    # Asked last: what is written and decided in between is not open.
    decided = ends(bootstrap, places, "read_committed")
    for place, end in written.items():
        if end > decided[place]:
            return f"{place[0]}[{place[1]}] ends at {end}, but only {decided[place]} is decided"
    return None


def ends(bootstrap: str, places: list[TopicPartition], isolation: str) -> dict[tuple[str, int], int]:
    """Ends of partitions: `read_uncommitted` the high watermark, `read_committed` the last stable offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "proof", "isolation.level": isolation, **_QUIET})
    try:
        return {(place.topic, place.partition): _end(consumer, place) for place in places}
    finally:
        consumer.close()


def _end(consumer: Consumer, place: TopicPartition) -> int:
    deadline = time.monotonic() + _LEADER_SECONDS
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, timeout=30)[1])
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
