"""The position topic of one instance: its newest committed record, found without reading the whole topic.

One partition, compacted, one topic for each instance: read_committed stops where the oldest open transaction of a
partition begins, whoever's it is, so that in a shared topic a successor would read a stale position.
"""

import time
from math import inf

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdcd.binlog.position import PositionRecord
from cdcd.errors import Finding, FindingError, HoldingLost
from cdcd.kafka.client import ClientConfig, Trouble, with_callbacks
from cdcd.kafka.failures import Subject, explained, unreachable
from cdcd.kafka.topics import Topics

KEY = b"position"
"""Key of every record, so that compaction keeps the newest."""
PARTITION = 0

_TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    # The active segment is not compacted: a small one keeps the topic small.
    "segment.bytes": str(16 << 20),
    "min.cleanable.dirty.ratio": "0.1",
}
_FIRST_REACH = 64
_METADATA_SECONDS = 5.0
"""So long a broker may not know a topic that was just made or has just got another leader."""
_NOT_YET = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)


class PositionHeld(HoldingLost):
    """Somebody opened a transaction after our `init_transactions`: the newest position is not decided yet."""


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
    """Reads one instance's positions. Writing is the sink's part.

    Its clients are made by the first `peek` or `read`, which thus takes longer (50 to 300 ms), and are there until `read`
    has come to its end, or `close`.
    """

    def __init__(self, config: ClientConfig, topic: str) -> None:
        self._config = config
        self._topic = topic
        self._readers: _Readers | None = None

    def ensure(self, topics: Topics, replication: int) -> None:
        """Create the topic unless it exists; FindingError if what exists would lose or hide positions."""
        partitions = topics.ensure(self._topic, 1, replication, _TOPIC_CONFIG)
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
        try:
            return self._record(timeout, patience)
        finally:
            self.close()

    def peek(self, timeout: float = 10.0) -> PositionRecord | None:
        """The newest record committed by now, for its epoch: an owner that still publishes may store further ones.

        What it has connected stays for the next `peek` or `read`, which takes a few milliseconds then.
        """
        return self._record(timeout, None)

    def close(self) -> None:
        """Let go of the clients; repeatable."""
        readers, self._readers = self._readers, None
        if readers is not None:
            readers.close()

    def _record(self, timeout: float, patience: float | None) -> PositionRecord | None:
        if self._readers is None:
            self._readers = _Readers(self._config, self._topic)
        readers, reading = self._readers, Subject("read the position", (self._topic,))
        readers.trouble.clear()
        try:
            low, high = readers.watermarks(timeout)
            message = readers.newest(low, high, timeout, patience)
        except KafkaException as error:
            raise explained(error.args[0], readers.trouble, reading) from error
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


class _Readers:
    """Two clients, as the isolation level is a client's own: one asks how far the topic goes, one reads up to there.

    Their methods raise KafkaException; why the brokers cannot be reached is in `trouble`.
    """

    def __init__(self, config: ClientConfig, topic: str) -> None:
        self.trouble = Trouble()
        self._config = config
        self._topic = topic
        # With read_committed librdkafka gives the last stable offset in place of the high watermark.
        self._probe = self._consumer("read_uncommitted")
        self._reader = self._consumer("read_committed")

    def watermarks(self, timeout: float) -> tuple[int, int]:
        """First offset and high watermark."""
        deadline = time.monotonic() + min(timeout, _METADATA_SECONDS)
        while True:
            try:
                return self._probe.get_watermark_offsets(TopicPartition(self._topic, PARTITION), timeout, cached=False)
            except KafkaException as error:
                self._probe.poll(0)
                if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                    raise
                self._check_rights(timeout)
            time.sleep(0.02)

    def newest(self, low: int, high: int, timeout: float, patience: float | None) -> Message | None:
        reach = _FIRST_REACH
        try:
            while True:
                start = max(low, high - reach)
                found = _Span(self._reader, self._topic, start, high, self.trouble).newest(timeout, patience)
                if found is not None or start == low:
                    return found
                reach *= 2
        finally:
            self._reader.unassign()  # else it goes on fetching

    def close(self) -> None:
        self._probe.close()
        self._reader.close()

    def _check_rights(self, timeout: float) -> None:
        """A topic that we may not see looks like none in other answers."""
        error = self._probe.list_topics(self._topic, timeout).topics[self._topic].error
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise KafkaException(error)

    def _consumer(self, isolation: str) -> Consumer:
        # No group is joined and no offset committed; the client only refuses to start without a name.
        return Consumer(
            {
                **with_callbacks(self._config, self.trouble),
                "group.id": self._topic,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 2,
                "queued.max.messages.kbytes": 4096,
            }
        )


class _Span:
    """One read from `start` to the high watermark `high`, and beyond it as far as is committed by then."""

    def __init__(self, reader: Consumer, topic: str, start: int, high: int, trouble: Trouble) -> None:
        self._reader = reader
        self._topic = topic
        self._start = start
        self._high = high
        self._trouble = trouble

    def newest(self, timeout: float, patience: float | None) -> Message | None:
        """The last committed message of the span, or None. Without `patience`: of what is committed by now."""
        if self._start >= self._high:
            return None
        self._reader.assign([TopicPartition(self._topic, PARTITION, self._start)])
        found: Message | None = None
        silent, held = time.monotonic() + timeout, inf
        while True:
            message = self._reader.poll(0.1)
            if message is not None and message.error() is None:
                found = message
                silent = time.monotonic() + timeout
            elif message is not None and self._is_end(message):
                if patience is None or (message.offset() or 0) >= self._high:
                    return found
                # The committed records end short of the watermark: only an open transaction can be in the way.
                held = min(held, time.monotonic() + patience)
            self._check(silent, held)

    def _is_end(self, message: Message) -> bool:
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:  # of no matter: no group is joined
            return False
        raise KafkaException(error)

    def _check(self, silent: float, held: float) -> None:
        now = time.monotonic()
        if now > held:
            raise PositionHeld(f"an open transaction holds back the newest record of {self._topic}")
        if now > silent:
            raise unreachable(self._trouble.reason(), Subject("read the position", (self._topic,)))
