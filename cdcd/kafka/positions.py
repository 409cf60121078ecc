"""The position topic of one instance: its newest committed record, found without reading the whole topic.

One partition, compacted, one topic for each instance: read_committed stops where the oldest open transaction of a
partition begins, whoever's it is, so that in a shared topic a successor would read a stale position.
"""

from confluent_kafka import Message

from cdcd.binlog.position import PositionRecord
from cdcd.errors import Finding, FindingError
from cdcd.kafka.reading import CommittedReader
from cdcd.kafka.topics import Topics

KEY = b"position"
"""Key of every record, so that compaction keeps the newest."""

COMPACTED = {
    "cleanup.policy": "compact",
    # The active segment is not compacted: a small one keeps the topic small.
    "segment.bytes": str(16 << 20),
    "min.cleanable.dirty.ratio": "0.1",
}
_FIRST_REACH = 64


def position_topic_name(cluster: str, instance: str) -> str:
    """Name of an instance's position topic. A `.` in the cluster's name would make two instances' names meet."""
    return f"__cdcd_positions.{_plain(cluster)}.{instance}"


def transactional_id(cluster: str, instance: str) -> str:
    """The same for every owner of an instance: this is what fences the previous one (K1)."""
    return f"cdcd.{_plain(cluster)}.{instance}"


def _plain(cluster: str) -> str:
    if "." in cluster:
        raise ValueError(f"cluster name {cluster!r} must not contain a dot")
    return cluster


class PositionTopic:
    """Reads one instance's positions. Writing is the sink's part."""

    def __init__(self, reader: CommittedReader, topic: str) -> None:
        """The reader's owner closes it."""
        self._reader = reader
        self._topic = topic

    def ensure(self, topics: Topics, replication: int) -> None:
        """Create the topic unless it exists; FindingError if what exists would lose or hide positions."""
        partitions = topics.ensure(self._topic, 1, replication, COMPACTED)
        if partitions != 1:
            raise self._unfit(f"has {partitions} partitions", "Positions need exactly one")
        limits = topics.limits(self._topic)
        if limits is not None and (limits.deleted or not limits.compacted):
            raise self._unfit(
                "does not keep its newest record for ever",
                f"Set it: kafka-configs --alter --add-config cleanup.policy=compact --topic '{self._topic}'",
            )

    def read(self, timeout: float = 10.0, patience: float = 1.0) -> PositionRecord | None:
        """The newest committed record, None if there is none at all. Call it after `init_transactions`.

        `timeout`: seconds for the brokers to answer, else FindingError (retry). `patience`: seconds to wait for the
        high watermark, else PositionHeld: an earlier record may be stale, so it is never taken.
        """
        return self._record(timeout, patience)

    def peek(self, timeout: float = 10.0) -> PositionRecord | None:
        """The newest record committed by now, for its epoch: an owner that still publishes may store further ones.

        What it has connected stays for the next `peek` or `read`, which takes a few milliseconds then.
        """
        return self._record(timeout, None)

    def _record(self, timeout: float, patience: float | None) -> PositionRecord | None:
        message = self._reader.newest(self._topic, _FIRST_REACH, timeout, patience)
        return None if message is None else PositionRecord.from_json(self._intact(message))

    def _intact(self, message: Message) -> bytes:
        value = message.value()
        if value is not None and message.key() == KEY:
            return value
        raise FindingError(
            Finding(
                "position-record-damaged",
                "operator",
                f"The newest record of topic {self._topic} (offset {message.offset()}) is no position",
                "Something other than cdcd wrote to the position topic. Find out what, then set the position anew",
            )
        )

    def _unfit(self, what: str, remedy: str) -> FindingError:
        return FindingError(Finding("position-topic-unfit", "operator", f"Position topic {self._topic} {what}", remedy))
